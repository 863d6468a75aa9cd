"""The data of a run, opened before anything is built, and what a run says of itself."""

from typing import NamedTuple

import jax
from jax.sharding import Mesh

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import EvalExamples, eval_examples
from maskformer_jax.data.example import Source
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.training.state import TrainState


class RunData(NamedTuple):
    """The two splits of a data set and its classes."""

    info: DatasetInfo
    source: Source  # for training
    evaluation: EvalExamples


def open_data(config: Config) -> RunData:
    """Open both splits.

    Raises:
        UserError: the data set is not where the config says, or is another one.
    """
    data = config.data
    info = load_dataset_info(data.dataset)
    return RunData(info, open_source(data, data.train_split, info), eval_examples(config))


def describe_run(config: Config, data: RunData, mesh: Mesh, state: TrainState) -> str:
    """Describe devices, model and data in a few lines, and what was left out of the data."""
    devices = mesh.devices.flatten()
    kinds = ", ".join(dict.fromkeys(device.device_kind for device in devices))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    notes = dict.fromkeys((*data.source.notes, *data.evaluation.notes))
    lines = [
        f"devices: {devices.size} x {kinds}",
        f"model: {config.name or 'own config'}, {parameters / 1e6:.1f} M parameters, "
        f"{config.model.compute_dtype}",
        f"data: {data.info.name}, {data.info.num_classes} classes, {len(data.source)} images of "
        f"{config.data.train_split}, {len(data.evaluation)} of {config.data.eval_split}",
        *(f"warning: {note}" for note in notes),
    ]
    if int(state.step) < config.train.num_steps:
        lines.append("compiling the training step (about a minute; kept for the next run)")
    return "\n".join(lines)
