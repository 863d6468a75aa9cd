"""The stages of benchmarks/accelerator.sh, each in a process with a time limit of its own.

    python -m benchmarks.accelerator --out=FOLDER --minutes=8 [--tiny] [--only=NAME]

A stage that fails, or for which no time is left, leaves a line that says so, and the next one runs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
R50 = "ade20k-150/maskformer_R50_bs16_160k"
SWIN = "ade20k-150/swin/maskformer_swin_tiny_bs16_160k"
PANOPTIC = "coco-panoptic/swin/maskformer_panoptic_swin_large_IN21k_384_bs64_554k"
PYTHON = (sys.executable, "-m")
GOLDEN = (*PYTHON, "benchmarks.golden_on_device")
PACKAGE = (*PYTHON, "maskformer_jax")


class Stage(NamedTuple):
    """A command that leaves its figures in a file, `{out}`."""

    name: str
    command: tuple[str, ...]
    seconds: int  # that it may take


def speed(name: str, config: str, seconds: int, *options: str) -> Stage:
    """A run of `benchmark`."""
    command = (*PACKAGE, "benchmark", f"--config={config}", "--json={out}", *options)
    return Stage(name, command, seconds)


def list_stages(*, tiny: bool) -> list[Stage]:
    """All stages, most telling first."""
    train = ("--what=train", "--train-batch=16")
    infer = ("--what=infer", "--batch=1,16")
    evaluate = ("--what=eval", "--batch=1,8")
    peer = ("--against=transformers",)
    size: tuple[str, ...] = ()
    steps = "400"
    if tiny:
        train, infer = ("--what=train", "--train-batch=1"), ("--what=infer", "--batch=1")
        evaluate = ("--what=eval", "--batch=1")
        size, steps = ("--size=64x64", "--rounds=1"), "60"
    half = "--precision=bfloat16"
    package = f"{sys.executable} -m maskformer_jax"
    training = (
        f"{package} prepare shapes --root={{out}}.data && exec {package} train --workdir={{out}} "
        f"--config=shapes/maskformer_R18 --config.data.root={{out}}.data "
        f"--config.train.num_steps={steps}"
    )
    return [
        Stage("golden R50", (*GOLDEN, "maskformer_R50", "--out={out}"), 120),
        speed("train R50", R50, 150, *train, *size, half, *peer, "--peer=eager"),
        speed("infer R50", R50, 120, *infer, *size, *peer, "--peer=eager"),
        Stage("golden Swin-T", (*GOLDEN, "maskformer_swin_tiny", "--out={out}"), 120),
        speed("train Swin-T", SWIN, 150, *train, *size, half, *peer, "--peer=eager"),
        speed("infer Swin-T", SWIN, 120, *infer, *size, *peer, "--peer=eager"),
        speed("evaluation R50", R50, 90, *evaluate, *(size or ("--size=512x683",))),
        speed(
            "evaluation Swin-L panoptic",
            PANOPTIC,
            180,
            *evaluate,
            *(size or ("--size=800x1333",)),
        ),
        Stage("training", ("bash", "-c", training), 90),
        speed("train R50, scipy", R50, 120, *train, *size, half, "--config.loss.matcher=scipy"),
        speed("train R50, compiled", R50, 200, *train, *size, half, *peer, "--peer=compile"),
        speed("infer R50, compiled", R50, 200, *infer, *size, *peer, "--peer=compile"),
        speed("train R50, float32", R50, 150, *train, *size, *peer, "--peer=eager"),
    ]


def main() -> None:
    """Run the stages until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * arguments.minutes
    for stage in list_stages(tiny=arguments.tiny):
        if not stage.name.startswith(arguments.only):
            continue
        left = end - time.monotonic()
        begin = time.monotonic()
        found = {"skipped": "no time left"} if left < 30 else run(stage, min(left, stage.seconds))
        row = {"stage": stage.name, **found, "seconds": round(time.monotonic() - begin)}
        line = json.dumps(row)
        with (arguments.out / "accelerator.jsonl").open("a") as log:
            log.write(line + "\n")
        print(line if len(line) < 2000 else line[:2000] + " ...", flush=True)


def run(stage: Stage, seconds: float) -> dict[str, Any]:
    """The figures of a stage, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [word.format(out=out) for word in stage.command]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            if not out.is_dir():  # a run of training is cut off on purpose
                return {"failed": f"not done in {seconds:.0f} s", "printed": printed[-600:]}
        metrics = out / "metrics.jsonl"
        if metrics.is_file():
            logged = [json.loads(line) for line in metrics.read_text().splitlines()]
            return {"last": next((row for row in reversed(logged) if "data_wait_share" in row), {})}
        if out.is_file():
            return {"figures": json.loads(out.read_text())}
        return {"failed": f"status {process.returncode}", "printed": printed[-600:]}


if __name__ == "__main__":
    main()
