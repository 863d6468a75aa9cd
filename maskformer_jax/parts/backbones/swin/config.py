"""Settings of a Swin transformer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.validation import require, require_positive, require_range


@dataclass(slots=True, kw_only=True)
class SwinConfig(BackboneConfig):
    """Swin transformer backbone; the defaults are Swin-T."""

    type: Literal["swin"] = "swin"
    embed_dim: int = 96  # width of the first stage; doubles at each further one
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    num_heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window: int = 7  # side, in tokens
    drop_path: float = 0.3  # rate of the last block; rises linearly from 0 at the first

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which no Swin can be built."""
        yield from require_positive(self, path, "embed_dim", "depths", "num_heads", "window")
        yield from require_range(self, path, 0, 0.999, "at least 0 and below 1", "drop_path")
        if min(self.num_heads) > 0:
            widths = tuple(self.channels().values())
            yield from require(
                not any(w % heads for w, heads in zip(widths, self.num_heads, strict=True)),
                f"{path}.num_heads",
                self.num_heads,
                f"divisors of the widths of the stages, {widths}",
            )

    def channels(self) -> dict[int, int]:
        """The channels of each feature map by its stride."""
        return {4 * 2**stage: self.embed_dim * 2**stage for stage in range(4)}
