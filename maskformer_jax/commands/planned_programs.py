"""What `plan` compiles: the train step, or evaluation, on devices that are not there."""

from typing import Any, NamedTuple

import jax

from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import ImageShape
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.evaluation.buckets import make_bucket
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.programs import Programs
from maskformer_jax.models.build import build_model
from maskformer_jax.planning.topology import Topology
from maskformer_jax.training.cost_report import abstract_batch
from maskformer_jax.training.loop import Training
from maskformer_jax.training.mesh import abstract_arrays, batch_sharding
from maskformer_jax.types import Size
from maskformer_jax.zoo.cost import measure_cost


class PlannedProgram(NamedTuple):
    """A program that is yet to be compiled."""

    lowered: jax.stages.Lowered
    title: str  # what it does
    turns: int  # of loops whose length it decides when it runs


def plan_step(
    config: Config, topology: Topology, *, size: Size | None, segments: int
) -> PlannedProgram:
    """The train step of a run on all devices.

    Args:
        config: of the run.
        topology: the devices.
        size: of the images; None: the recipe's largest.
        segments: in the image that has most; the loss takes a turn for each.
    """
    training = Training(config, devices=topology.devices)
    batch = abstract_batch(config, size=size)
    sharding = batch_sharding(training.mesh)
    batch = abstract_arrays(batch, jax.tree.map(lambda _: sharding, batch))
    height, width = batch.image.shape[1:3]
    title = (
        f"{config.name}: a train step of {config.train.batch_size} images of {height} x {width} "
        f"in {config.model.compute_dtype}, {training.mesh.shape['data']} (data) x "
        f"{training.mesh.shape['fsdp']} (fsdp)"
    )
    return PlannedProgram(training.step.lower(training.template, batch), title, segments)


def plan_evaluation(
    config: Config, topology: Topology, *, size: Size | None, output_size: Size | None
) -> PlannedProgram:
    """Network and post-processing of one batch on the devices of one host, sizes as data.

    Args:
        config: model and evaluation.
        topology: the devices.
        size: of the images as the network sees them; None: as the zoo counts them.
        output_size: of the results; None: that of the images.
    """
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    size = size or measure_cost(config, num_classes=info.num_classes).input_size
    output_size = output_size or size
    devices = [one for one in topology.devices if one.process_index == 0]
    programs = Programs(model, config, categories=info.categories, devices=LocalDevices(devices))
    blank: Any = jax.ShapeDtypeStruct((1, 64, 64, 3), "uint8")
    variables = jax.eval_shape(model.init, jax.random.key(0), blank)
    bucket = make_bucket({ImageShape(size, output_size)})._replace(exact=False)
    title = (
        f"{config.name}: evaluation ({config.eval.task}) of {programs.batch_size} images of "
        f"{size[0]} x {size[1]} in {config.model.compute_dtype} on one host, results of "
        f"{output_size[0]} x {output_size[1]}"
    )
    lowered = programs.lower(variables, bucket)
    return PlannedProgram(lowered, title, programs.count_bands(bucket))
