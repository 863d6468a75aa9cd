"""Settings of the toy backbone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.validation import require_positive


@dataclass(slots=True, kw_only=True)
class ToyBackboneConfig(BackboneConfig):
    """Two convolutions, whose maps have strides 4 and 16."""

    type: Literal["toy"] = "toy"
    width: int = 8

    def problems(self, path: str) -> Iterator[str]:
        yield from require_positive(self, path, "width")

    def channels(self) -> dict[int, int]:
        return {4: self.width, 16: 2 * self.width}
