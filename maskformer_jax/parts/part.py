"""The interface of a part of the model: a folder with three modules.

- `config.py`: its settings, a subclass of `PartConfig` that validates itself; no JAX.
- `model.py`: its Flax module, and `build(config, ...)`, which makes it from the settings.
- `weights.py`: what is known of foreign weights and of its parameters; NumPy only.

The tables (`backbones/table.py`, ...) list the config classes; the other two modules are found in
the folder of the config class and imported when they are first needed, so that reading a config
needs no JAX.
"""

import dataclasses
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

# How a parameter decays: like all weights, or by the setting for norms or embeddings, or never.
Decay = Literal["weight", "norm", "embed", "none"]
DecayRows = tuple[tuple[str, Decay], ...]  # (pattern of a whole path inside the part, decay)


@dataclass(slots=True, kw_only=True)
class PartConfig:
    """Settings of a part; each kind of part is a subclass with its own `type`."""

    type: str
    # Fields of earlier versions, which a `config.json` may still hold; they had no effect.
    retired_fields: ClassVar[frozenset[str]] = frozenset()

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which the part cannot be built; `path` is the section's."""
        yield from ()

    def settings(self) -> dict[str, Any]:
        """The fields by name, all but `type`: what the module takes as attributes."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "type"]
        return {name: getattr(self, name) for name in names}


def model_module(config: PartConfig) -> ModuleType:
    """The `model.py` of a part."""
    return _neighbor(type(config), "model")


def weights_module(kind: type[PartConfig]) -> ModuleType:
    """The `weights.py` of a part."""
    return _neighbor(kind, "weights")


def _neighbor(kind: type[PartConfig], name: str) -> ModuleType:
    return importlib.import_module(f"{kind.__module__.rpartition('.')[0]}.{name}")
