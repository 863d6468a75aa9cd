"""Settings of a run: its length and bookkeeping, its devices and its processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.validation import require, require_positive, require_range


@dataclass(slots=True, kw_only=True)
class MeshConfig:
    """Device mesh. The batch is split over data x fsdp, parameters over fsdp."""

    data: int = -1  # -1: all remaining devices
    fsdp: int = 1

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        yield from require(
            self.data == -1 or self.data >= 1,
            f"{path}.data",
            self.data,
            "-1 (all devices that are left) or above 0",
        )
        yield from require_positive(self, path, "fsdp")


@dataclass(slots=True, kw_only=True)
class DistributedConfig:
    """How the processes of a run find each other; docs/pods.md has the commands.

    "auto" is "address" where a coordinator is known, "cluster" inside of `srun`, `mpirun` or a TPU
    pod of several hosts, and else "off". The last three address fields can also come from the
    variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
    """

    launch: Literal["auto", "off", "cluster", "address"] = "auto"
    coordinator: str = ""  # HOST:PORT of process 0; the port must be free
    num_processes: int = 0  # 0: from the environment
    process_id: int = -1  # -1: from the environment
    start_timeout_s: int = 300  # seconds to wait for all processes at the start and at the end
    heartbeat_timeout_s: int = (
        60  # after this silence a process counts as lost, and the others exit
    )

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        infinity = float("inf")
        yield from require_range(
            self, path, 0, infinity, "0 (from the environment) or more", "num_processes"
        )
        yield from require_range(
            self, path, -1, infinity, "-1 (from the environment) or more", "process_id"
        )
        yield from require_positive(self, path, "start_timeout_s", "heartbeat_timeout_s")


@dataclass(slots=True, kw_only=True)
class TrainConfig:
    """Length and bookkeeping of a run. One step is one update on one global batch."""

    num_steps: int = 160_000
    batch_size: int = 16  # global
    seed: int = 0
    # A whole model to start from: a workdir, a published file, a Hugging Face folder. Heads of
    # another number of classes start anew; classes of equal names keep their rows.
    init_checkpoint: str = ""
    # Parts of the model that `init_checkpoint` may lack, as regular expressions on their names.
    init_missing: tuple[str, ...] = ()
    init_backbone: str = ""  # ImageNet weights, or a whole model with one; empty: random
    init_backbone_format: Literal["torchvision", "caffe"] = "torchvision"  # caffe: BGR, no std
    log_every: int = 50
    checkpoint_every: int = 5_000
    eval_every: int = 5_000
    patience: int = 0  # evaluations without a better main metric that end a run; 0: none do
    # Services that get the metrics beside TensorBoard, if they are installed.
    trackers: tuple[Literal["wandb", "mlflow"], ...] = ()
    keep_checkpoints: int = 2  # the newest ones; the best is kept in addition
    profile_steps: tuple[int, ...] = ()  # (first, last) to trace with jax.profiler; empty: none

    def problems(self, path: str) -> Iterator[str]:
        """Describe each wrong value; `path` is that of the section."""
        yield from require_positive(
            self,
            path,
            "num_steps",
            "batch_size",
            "log_every",
            "checkpoint_every",
            "eval_every",
            "keep_checkpoints",
            "profile_steps",
        )
        yield from require_range(self, path, 0, float("inf"), "0 or more", "patience")
        steps = self.profile_steps
        yield from require(
            not steps or (len(steps) == 2 and steps[0] <= steps[1]),
            f"{path}.profile_steps",
            steps,
            "empty or (first, last)",
        )
