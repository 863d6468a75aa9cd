"""The configuration: typed, nested by component, with the published ResNet-50 values as defaults.

Every field can be set in a config file (`config.optim.learning_rate = 6e-5`) and on the command
line (`--config.optim.learning_rate=6e-5`); `config.io` checks names and types in both places. Each
section has a module that also says which values are right; fields that must agree across sections
are checked here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from maskformer_jax.config.data import DataConfig
from maskformer_jax.config.evaluation import EvalConfig
from maskformer_jax.config.loss import LossConfig
from maskformer_jax.config.model import ModelConfig
from maskformer_jax.config.optim import OptimConfig
from maskformer_jax.config.train import DistributedConfig, MeshConfig, TrainConfig
from maskformer_jax.validation import require


@dataclass(slots=True, kw_only=True)
class Config:
    """A whole recipe; each file under configs/ makes one."""

    name: str = ""  # "<dataset>/<model>", filled in from the file's place
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    # Where compiled programs are kept for later runs: a folder; "auto": the user's cache folder;
    # empty: nowhere. The variable JAX_COMPILATION_CACHE_DIR comes first.
    compile_cache: str = "auto"

    def problems(self) -> Iterator[str]:
        """Describe each wrong value, section by section, then the fields that do not agree."""
        for name in ("model", "loss", "data", "optim", "train", "eval", "mesh", "distributed"):
            yield from getattr(self, name).problems(f"config.{name}")
        yield from self._batch_problems()
        yield from self._schedule_problems()
        yield from self._task_problems()

    def _batch_problems(self) -> Iterator[str]:
        """The batch size must be divisible by devices and groups."""
        divisors = {
            "config.mesh.data x config.mesh.fsdp": max(self.mesh.data, 1) * self.mesh.fsdp,
            "config.loss.class_groups": self.loss.class_groups,
            "config.optim.accumulate_steps": self.optim.accumulate_steps,
        }
        for name, divisor in divisors.items():
            if divisor > 0:
                yield from require(
                    self.train.batch_size % divisor == 0,
                    "config.train.batch_size",
                    self.train.batch_size,
                    f"a multiple of {name} ({divisor})",
                )

    def _schedule_problems(self) -> Iterator[str]:
        if self.train.num_steps > 0:
            yield from require(
                self.optim.warmup_steps < self.train.num_steps,
                "config.optim.warmup_steps",
                self.optim.warmup_steps,
                f"below config.train.num_steps ({self.train.num_steps})",
            )

    def _task_problems(self) -> Iterator[str]:
        """Head, data and task must fit each other."""
        head, task = self.model.head, self.eval.task
        per_pixel = head != "mask_classification"
        yield from require(
            not per_pixel or task == "semantic",
            "config.eval.task",
            task,
            f"'semantic' where config.model.head is {head!r}",
        )
        yield from require(
            not per_pixel or self.eval.semantic_rule == "class_sum",
            "config.eval.semantic_rule",
            self.eval.semantic_rule,
            f"'class_sum' where config.model.head is {head!r}, whose queries have no classes",
        )
        yield from require(
            self.loss.matching != "fixed" or self.data.mapper == "semantic",
            "config.loss.matching",
            self.loss.matching,
            f"'masks' or 'boxes' where config.data.mapper is {self.data.mapper!r}: 'fixed' gives "
            "each class one query, so it needs the mapper 'semantic'",
        )
