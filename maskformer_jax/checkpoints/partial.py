"""What a checkpoint of any kind has for a model, where the two need not agree in everything."""

from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.checkpoints import workdir
from maskformer_jax.checkpoints.load import require_published_file
from maskformer_jax.config import ModelConfig
from maskformer_jax.convert import huggingface, official
from maskformer_jax.convert.huggingface_config import is_huggingface_folder
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.tensor_rules.transfer import Matched, leaves


def match_checkpoint(path: Path, template: Any, model: ModelConfig) -> Matched:
    """Read a checkpoint and compare it with the variables of a model.

    Args:
        path: a workdir or one checkpoint in it, a published file, or a Hugging Face folder.
        template: the shapes of the variables.
        model: the config of the model.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    if is_huggingface_folder(path):
        return huggingface.match_variables(huggingface.read_folder(path), template, model)
    if workdir.is_checkpoint(path):
        return _compare(dict(leaves(workdir.restore_all_variables(path))), template)
    require_published_file(path)
    tensors = read_tensors(path)
    kind = huggingface if huggingface.has_our_names(tensors) else official
    return kind.match_variables(tensors, template, model)


def _compare(saved: dict[tuple[str, ...], np.ndarray], template: Any) -> Matched:
    matched = Matched({}, {}, {}, {}, [], [])
    for path, leaf in leaves(template):
        name, wanted = "/".join(path), tuple(leaf.shape)
        if path not in saved:
            matched.missing[path] = [f"missing: {name} {list(wanted)}"]
            continue
        value = saved.pop(path)
        if value.shape == wanted:
            matched.values[path] = value
            continue
        if value.ndim == len(wanted) and value.shape[:-1] == wanted[:-1]:
            matched.other_size[path] = value
        matched.other_shape[path] = [
            f"wrong shape: {name} is {list(value.shape)}, the model needs {list(wanted)}"
        ]
    matched.unexpected.extend(
        f"unexpected: {'/'.join(path)} {list(value.shape)}" for path, value in saved.items()
    )
    return matched
