"""What was found out about a data set, and the choice of its splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.errors import UserError

Format = Literal["folder", "coco_panoptic", "coco_instances"]

HELD_OUT = 20  # percent of the examples, where there is one split
_TRAIN = ("train", "training", "trn")
_EVAL = ("val", "valid", "validation", "dev", "eval", "test", "testing")


class Found(NamedTuple):
    """A data set as the fields of `DataConfig` describe it, and its classes."""

    format: Format
    root: Path
    train_split: str
    eval_split: str
    info: DatasetInfo
    guesses: tuple[str, ...]  # what was concluded from what, for people to check
    images: str = ""
    labels: str = ""
    label_endings: tuple[str, ...] = ()
    split_files: str = ""


def choose_splits(names: Sequence[str], *, where: Path) -> tuple[str, str]:
    """Choose the splits for training and evaluation; a single one is shared between the two.

    Raises:
        UserError: there are several, and none is called train.
    """
    train = _first(names, _TRAIN)
    others = [name for name in names if name != train]
    if train is None and len(names) > 1:
        raise UserError(
            f"{where}: has the parts {', '.join(sorted(names))}; call one of them train, and one "
            "val if there is one for evaluation"
        )
    whole = train or names[0]
    evaluation = _first(others, _EVAL)
    if evaluation is None:
        share = 100 - HELD_OUT
        return f"{whole}[shuffled :{share}%]", f"{whole}[shuffled {share}%:]"
    return whole, evaluation


def describe_splits(train: str, evaluation: str) -> str:
    """Say what is trained on and what is evaluated on."""
    if "[shuffled" in train:
        return f"one part only, so {HELD_OUT} % of it, drawn once, are held out for evaluation"
    return f"training on '{train}', evaluation on '{evaluation}'"


def is_split_name(name: str) -> bool:
    """Whether a folder is called like a part of a data set."""
    return _first([name], (*_TRAIN, *_EVAL)) is not None


def _first(names: Sequence[str], prefixes: Sequence[str]) -> str | None:
    """The name that starts with one of the words, the first word that any name has."""
    for prefix in prefixes:
        matching = [name for name in sorted(names) if name.lower().startswith(prefix)]
        if matching:
            return matching[0]
    return None
