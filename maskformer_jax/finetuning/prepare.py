"""From a folder of data to a recipe in a workdir."""

from pathlib import Path
from typing import NamedTuple

import jax

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.checkpoints.load import find_config
from maskformer_jax.checkpoints.workdir import CATEGORIES_FILE
from maskformer_jax.config import Config
from maskformer_jax.data.check import check_dataset
from maskformer_jax.data.check_report import DatasetReport
from maskformer_jax.data.detect.detect import detect
from maskformer_jax.data.detect.found import Found
from maskformer_jax.data.label_names import to_json
from maskformer_jax.finetuning.facts import Facts, gather_facts
from maskformer_jax.finetuning.recipe import data_section, default_base, make_recipe
from maskformer_jax.finetuning.recipe_file import recipe_text
from maskformer_jax.finetuning.scaling import Scale, choose_scale

RECIPE = "recipe.py"


class Prepared(NamedTuple):
    """What a recipe was made from."""

    found: Found
    report: DatasetReport
    recipe: Path | None  # None where the data has problems; nothing is written then


def prepare_recipe(
    data: Path,
    workdir: Path,
    *,
    base: Config | None = None,
    checkpoint: Path | None = None,
    num_steps: int | None = None,
) -> Prepared:
    """Find out what the data is, check all of it, and write its classes and a recipe.

    Args:
        data: a folder, or a JSON file in COCO's format.
        workdir: gets `categories.json` and `recipe.py`.
        base: the recipe whose model is trained; by default that of the checkpoint, or one that
            fits the kind of data and the machine.
        checkpoint: the weights to start from.
        num_steps: of the training; by default 40 epochs, within bounds.

    Raises:
        UserError: the data is of no known layout, or the checkpoint says no recipe.
    """
    found = detect(data)
    if base is None:
        on_cpu = jax.default_backend() == "cpu"
        base = find_config(checkpoint) if checkpoint else default_base(found, on_cpu=on_cpu)
    classes = workdir.absolute() / CATEGORIES_FILE
    looked_at = Config(model=base.model, data=data_section(found, classes))
    report = check_dataset(looked_at, info=found.info)
    if report.problems:
        return Prepared(found, report, None)
    facts = gather_facts(report)
    scale = choose_scale(base, facts, num_steps=num_steps)
    config = make_recipe(
        base,
        found,
        scale,
        classes=classes,
        most_segments=facts.most_segments,
        checkpoint=str(checkpoint.absolute()) if checkpoint else "",
        name=f"{found.info.name}/{workdir.absolute().name}",
    )
    text = recipe_text(
        config,
        workdir,
        title=f"Fine-tuning on {found.info.name}.",
        comments=_comments(base, found, facts, scale),
    )
    write_atomically(classes, to_json(found.info))
    write_atomically(workdir / RECIPE, text)
    return Prepared(found, report, workdir / RECIPE)


def _comments(base: Config, found: Found, facts: Facts, scale: Scale) -> dict[str, str]:
    """Why the fields of a recipe have their values."""
    origin = base.name or "the config of the checkpoint"
    epochs = scale.num_steps * scale.batch_size / facts.train_images
    return {
        "model": f"That of {origin}.",
        "data.train_split": f"{facts.train_images} images; {found.guesses[1]}.",
        "data.augment": f"The shorter side of images is {facts.short_side} pixels (median).",
        "data.num_segments": f"At most {facts.most_segments} were in a training image.",
        "optim": f"From {origin}, scaled to this batch and schedule.",
        "train.num_steps": f"{epochs:.0f} epochs.",
        "train.batch_size": f"For {facts.devices} device(s) with {facts.memory / 2**30:.0f} GiB.",
    }
