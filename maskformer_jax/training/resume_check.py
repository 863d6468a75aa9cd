"""What may change between the parts of a run, and what would change the meaning of its weights."""

from pathlib import Path

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.checkpoints.workdir import (
    CHECKPOINTS,
    checkpoint_steps,
    read_classes,
    read_config,
)
from maskformer_jax.config import Config
from maskformer_jax.config.fields import walk_fields
from maskformer_jax.config.paths import relative_to_workdir, resolve_workdir
from maskformer_jax.data.class_names import describe_other_classes
from maskformer_jax.errors import UserError

# Fields of the model that say how it is computed or trained, not what its weights mean.
_FREE_IN_MODEL = (
    "compute_dtype",
    "matmul_precision",
    "remat",
    "dropout",
    "drop_path_rate",
    "freeze_at",
    "deep_supervision",
)
_UNTOLD = ("distributed.", "compile_cache", "name", "data.dataset")


def check_resume(workdir: Path, config: Config, info: DatasetInfo) -> list[str]:
    """Compare a config with that of the checkpoints in a workdir.

    Returns:
        The fields that differ, as `FIELD OLD -> NEW`; none where there is no checkpoint yet.

    Raises:
        UserError: the model is another one, or its classes are; nothing has been changed.
    """
    if not checkpoint_steps(workdir / CHECKPOINTS):
        return []
    before = read_config(workdir)
    if before is None:
        return []
    known = read_classes(workdir)
    if known is not None and not config.data.allow_other_classes:
        other = describe_other_classes(known.categories, info.categories)
        if other:
            raise UserError(
                f"{workdir}: its checkpoints have other classes than config.data.dataset "
                f"({config.data.dataset}): {other}. Take another workdir "
                "(config.train.init_checkpoint starts from these weights), or set "
                "config.data.allow_other_classes=True"
            )
    # Both as a workdir keeps them, so that paths are written alike.
    now = resolve_workdir(relative_to_workdir(config, workdir), workdir)
    old = {field.path: field.value for field in walk_fields(before)}
    new = {field.path: field.value for field in walk_fields(now)}
    changed = {
        path: f"config.{path} {old.get(path)!r} -> {new.get(path)!r}"
        for path in [*old, *(path for path in new if path not in old)]
        if old.get(path) != new.get(path) and not path.startswith(_UNTOLD)
    }
    refused = [text for path, text in changed.items() if _changes_meaning(path)]
    if refused:
        raise UserError(
            f"{workdir}: its checkpoints are of another model:\n  "
            + "\n  ".join(refused)
            + "\nTake another workdir, or the config that this one was started with"
        )
    return list(changed.values())


def _changes_meaning(path: str) -> bool:
    return path.startswith("model.") and path.rpartition(".")[2] not in _FREE_IN_MODEL
