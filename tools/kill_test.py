"""Breaks a small training run at random moments, restarts it, and checks that nothing is lost.

    python -m tools.kill_test --kills=50
    python -m tools.kill_test --kills=10 --faults=KILL,INT,FULL
    python -m tools.kill_test --kills=10 --processes=2

Trains a tiny model on drawn shapes with and without faults, saving a checkpoint after every step.
The faults are SIGKILL, SIGTERM, Ctrl-C (INT), and a full disk (FULL): a small tmpfs that holds the
workdir and is filled up, which takes the right to mount one and is left out without it. Of several
processes one is killed, and the others must exit by themselves. At the end, both runs must have
bit-identical states and the same log; the exit status is 0 if they do.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from maskformer_jax.checkpoints.workdir import CHECKPOINTS, restore_item
from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    DistributedConfig,
    EvalConfig,
    FPNConfig,
    MaskFormerDecoderConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    TrainConfig,
)
from maskformer_jax.config.io import to_json
from maskformer_jax.data.tfds_builders.shapes import prepare_shapes
from maskformer_jax.metrics_file import read_metrics

REPOSITORY = Path(__file__).parents[1]
WALL_CLOCK = ("steps_per_second", "images_per_second", "data_wait_share", "host_memory_gb")
HEARTBEAT_S = 10
FAULTS = ("KILL", "TERM", "INT", "FULL")
DISK = "disk"
DISK_BYTES = 64 * 2**20
LIMIT_S = 900  # for one start, in case the run hangs


def small_config(
    root: Path, *, head: Literal["mask_classification", "per_pixel_plus"], steps: int
) -> Config:
    """A tiny recipe, with dropout so that its key matters, and a batch for up to four devices."""
    return Config(
        name="shapes/tiny",
        model=ModelConfig(
            head=head,
            backbone=ResNetConfig(depth=18, width=8),
            pixel_decoder=FPNConfig(conv_dim=32, mask_dim=32),
            transformer_decoder=MaskFormerDecoderConfig(
                num_queries=10, num_layers=1, hidden_dim=16, num_heads=2, ffn_dim=32
            ),
        ),
        data=DataConfig(
            dataset="shapes",
            root=str(root),
            format="tfds",
            augment=AugmentConfig(short_edges=(64,), crop_size=(64, 64)),
            num_segments=12,
        ),
        optim=OptimConfig(learning_rate=1e-3, backbone_multiplier=1.0, clip_norm=1.0),
        train=TrainConfig(
            num_steps=steps, batch_size=4, log_every=1, checkpoint_every=1, eval_every=steps // 2
        ),
        eval=EvalConfig(short_edge=64),
        distributed=DistributedConfig(heartbeat_timeout_s=HEARTBEAT_S),
    )


def start(
    config: Path, workdir: Path, *, processes: int, devices: int = 1
) -> list[subprocess.Popen[bytes]]:
    """Start the processes of a run, each with `devices` CPU devices.

    Process i writes its output to `log_file(workdir, i)`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "train.py", f"--config={config}", f"--workdir={workdir}"]
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    environment = {
        "JAX_PLATFORMS": "cpu",
        "NPROC": "16",  # threads for callbacks
        "JAX_COMPILATION_CACHE_DIR": str(log_file(workdir, 0).parent / "xla"),
        **os.environ,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": flags,
    }
    started = []
    for index in range(processes):
        if processes > 1:
            environment["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{port}"
            environment["JAX_NUM_PROCESSES"] = str(processes)
            environment["JAX_PROCESS_ID"] = str(index)
        with log_file(workdir, index).open("ab") as log:
            started.append(
                subprocess.Popen(
                    command, cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
            )
    return started


def log_file(workdir: Path, index: int) -> Path:
    """The output of a process, beside the workdir, but not on the small disk."""
    folder = workdir.parent.parent if workdir.parent.name == DISK else workdir.parent
    return folder / f"{workdir.name}.{index}.log"


def wait(processes: list[subprocess.Popen[bytes]], limit_s: float) -> list[int | None]:
    """Return the exit statuses; None for a process that is killed because it exceeds the limit."""
    deadline = time.monotonic() + limit_s
    statuses: list[int | None] = []
    for process in processes:
        try:
            statuses.append(process.wait(max(deadline - time.monotonic(), 0.01)))
        except subprocess.TimeoutExpired:
            statuses.append(None)
    for process in processes:
        process.kill()
        process.wait()
    return statuses


def final_state(workdir: Path, step: int) -> list[Any]:
    """Read all arrays of the checkpoint of a step, onto the host."""
    arrays: list[Any] = []
    for item in ("model", "opt"):
        folder = workdir / CHECKPOINTS / str(step) / item
        saved = ocp.StandardCheckpointHandler().metadata(folder.absolute()).tree
        template = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), saved)
        arrays += map(np.asarray, jax.tree.leaves(restore_item(folder, template)))
    return arrays


def log_lines(workdir: Path) -> list[dict[str, Any]]:
    """Read the log without the values that depend on the clock."""
    lines = read_metrics(workdir)
    return [{key: line[key] for key in sorted(line) if key not in WALL_CLOCK} for line in lines]


def main() -> int:
    """Read the arguments, run with and without kills, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="number of kills")
    parser.add_argument("--processes", type=int, default=1, help="processes per run")
    parser.add_argument("--steps", type=int, default=12, help="steps per run")
    parser.add_argument("--seed", type=int, default=None, help="seed of the moments to kill at")
    parser.add_argument(
        "--head",
        choices=("mask_classification", "per_pixel_plus"),
        default="per_pixel_plus",
        help="the step of the first has matching, which is compiled again at each start",
    )
    parser.add_argument(
        "--faults",
        default="KILL,KILL,TERM,INT,FULL",
        metavar="A,B,...",
        help="drawn from with equal chances: KILL, TERM, INT, FULL",
    )
    arguments = parser.parse_args()
    faults = arguments.faults.split(",")
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"--faults: there is no {', '.join(unknown)}, only {', '.join(FAULTS)}")
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name, small_disk(Path(name) / DISK) as mounted:
        folder = Path(name)
        if not mounted and "FULL" in faults:
            print("no right to mount a small disk, so it does not get full", flush=True)
            faults = [fault for fault in faults if fault != "FULL"] or ["KILL"]
        if arguments.processes > 1:  # Ctrl-C and a full disk reach all of them
            faults = [fault for fault in faults if fault in ("KILL", "TERM")] or ["KILL"]
        arguments.faults = faults
        prepare_shapes(folder / "shapes", num_train=12, num_val=5)
        config = folder / "config.json"
        settings = small_config(folder / "shapes", head=arguments.head, steps=arguments.steps)
        config.write_text(to_json(settings))
        return _compare_runs(folder, config, arguments, moments)


def _compare_runs(
    folder: Path, config: Path, arguments: argparse.Namespace, moments: random.Random
) -> int:
    whole = folder / "whole"
    seconds = 0.0
    for warm in (False, True):  # the first run fills the compilation cache
        whole = folder / f"whole{warm:d}"
        began = time.monotonic()
        statuses = wait(start(config, whole, processes=arguments.processes), LIMIT_S)
        seconds = time.monotonic() - began
        if any(statuses):
            return _fail("the uninterrupted run failed", whole)
    expected_state, expected_log = final_state(whole, arguments.steps), log_lines(whole)

    kills, runs = 0, 0
    while kills < arguments.kills or runs == 0:
        runs += 1
        workdir = folder / DISK / f"killed{runs}"
        while True:
            processes = start(config, workdir, processes=arguments.processes)
            if kills < arguments.kills and _wait_for_moment(workdir, processes, seconds, moments):
                kills += 1
                fault = moments.choice(arguments.faults)
                what = f"{fault} {kills} of {arguments.kills}"
                print(f"{what}, after step {_step(workdir)}", flush=True)
                if fault == "FULL":
                    problem = _fill_disk(workdir, processes)
                else:
                    moments.choice(processes).send_signal(getattr(signal, f"SIG{fault}"))
                    ended = wait(processes, 60 + 3 * HEARTBEAT_S)
                    problem = "a process kept running without its peer" if None in ended else ""
                if problem:
                    return _fail(problem, workdir)
                continue
            statuses = wait(processes, LIMIT_S)
            if any(status != 0 for status in statuses):
                return _fail(f"a run ended with exit statuses {statuses}", workdir)
            break
        state = final_state(workdir, arguments.steps)
        same = all(np.array_equal(a, b) for a, b in zip(state, expected_state, strict=True))
        if not same or log_lines(workdir) != expected_log:
            return _fail(f"the {'log' if same else 'state'} differs", workdir)
        print(f"run {runs}: {kills} kills so far, same state and log", flush=True)
    print(f"{kills} kills, {runs} finished runs: nothing lost", flush=True)
    return 0


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A folder that is a small tmpfs, or a plain one without the right to mount; tells which."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _fill_disk(workdir: Path, processes: list[subprocess.Popen[bytes]]) -> str:
    """Fill the disk up, wait for the run to end, make room again; returns what went wrong."""
    log = log_file(workdir, 0)
    log_lines_before = len(log.read_text(errors="replace").splitlines())
    filler = workdir.parent / "filler"
    block = bytes(64 * 1024)
    statuses: list[int | None] = [None]
    try:
        with filler.open("wb", buffering=0) as file:
            deadline = time.monotonic() + 120
            while _alive(processes) and time.monotonic() < deadline:
                try:
                    file.write(block)
                except OSError:  # full; whatever the run deletes is taken again
                    time.sleep(0.01)
        statuses = wait(processes, 1)
    finally:
        filler.unlink()
    if None in statuses:
        return "the run went on with a full disk"
    if statuses == [0]:
        return ""  # it had ended by then
    told = log.read_text(errors="replace").splitlines()[log_lines_before:]
    errors = [line for line in told if line.startswith("error: ")]
    named = [line for line in errors if "No space left" in line or "checkpoints:" in line]
    if len(named) != 1 or len(errors) != 1:
        return f"a full disk was told as {errors}"
    if any("Traceback" in line for line in told):
        return "a full disk was told with a traceback"
    return ""


def _wait_for_moment(
    workdir: Path,
    processes: list[subprocess.Popen[bytes]],
    seconds: float,
    moments: random.Random,
) -> bool:
    """Wait until it is time to kill a process; return False if the run has ended by then.

    One time in four, that is any moment of a run of `seconds`, including its start; otherwise it
    is shortly after one of the next steps, since most of such a short run is spent starting.
    """
    if moments.random() < 0.25:
        deadline = time.monotonic() + moments.uniform(0, seconds)
        while time.monotonic() < deadline and _alive(processes):
            time.sleep(0.01)
        return _alive(processes)
    target = _step(workdir) + moments.randint(1, 3)
    while _step(workdir) < target and _alive(processes):
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 0.3))
    return _alive(processes)


def _alive(processes: list[subprocess.Popen[bytes]]) -> bool:
    return all(process.poll() is None for process in processes)


def _step(workdir: Path) -> int:
    return max((line["step"] for line in read_metrics(workdir)), default=0)


def _fail(reason: str, workdir: Path) -> int:
    print(f"FAILED: {reason}", flush=True)
    for log in sorted(log_file(workdir, 0).parent.glob(f"{workdir.name}.*.log")):
        print(f"--- {log.name}\n{log.read_text()[-4000:]}", flush=True)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
