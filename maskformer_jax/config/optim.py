"""Settings of the optimizer and its schedule."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.validation import require, require_positive, require_range


@dataclass(slots=True, kw_only=True)
class OptimConfig:
    """AdamW with full-model gradient clipping."""

    learning_rate: float = 1e-4
    backbone_multiplier: float = 0.1
    weight_decay: float = 1e-4
    weight_decay_norm: float = 0.0
    weight_decay_embed: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip_norm: float = 0.01  # of the gradient over all parameters
    schedule: Literal["poly", "multistep"] = "poly"
    poly_power: float = 0.9
    milestones: tuple[int, ...] = ()  # steps at which multistep multiplies by `decay`
    decay: float = 0.1
    warmup_steps: int = 0
    warmup_factor: float = 1.0
    ema_decay: float = 0.0  # above 0: evaluate and save a moving average of the parameters
    accumulate_steps: int = 1  # gradient accumulation: parts of a batch, one after the other
    skip_nonfinite: int = 0  # non-finite updates skipped in a row; 0: stop at the first

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        infinity, below_one = float("inf"), 0.999999
        yield from require_range(
            self,
            path,
            0,
            infinity,
            "0 or more",
            "learning_rate",
            "backbone_multiplier",
            "weight_decay",
            "weight_decay_norm",
            "weight_decay_embed",
        )
        yield from require_range(self, path, 0, below_one, "at least 0 and below 1", "b1", "b2")
        yield from require_positive(
            self, path, "eps", "clip_norm", "accumulate_steps", "poly_power", "decay", "milestones"
        )
        yield from require_range(self, path, 0, infinity, "0 (no warm-up) or more", "warmup_steps")
        yield from require_range(self, path, 0, 1, "0..1", "warmup_factor")
        yield from require_range(
            self, path, 0, below_one, "0 (no average) or more, and below 1", "ema_decay"
        )
        yield from require_range(
            self, path, 0, infinity, "0 (stop at the first) or more", "skip_nonfinite"
        )
        yield from require(
            list(self.milestones) == sorted(set(self.milestones)),
            f"{path}.milestones",
            self.milestones,
            "rising steps",
        )
