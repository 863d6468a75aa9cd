"""A workdir: one training at a time, refusals that change nothing, moving it elsewhere."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import jax
import numpy as np
import pytest

from maskformer_jax.checkpoints.export import write_workdir
from maskformer_jax.checkpoints.workdir import read_classes, read_config
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.label_names import to_json
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import draw_example
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.pretrained import load_pretrained
from maskformer_jax.scoring import evaluate_checkpoint
from maskformer_jax.training.loop import train
from maskformer_jax.training.memory import naming_exhausted_memory
from maskformer_jax.training.metrics_log import MetricsLog
from maskformer_jax.training.pictures import picture_saver
from maskformer_jax.training.stopping import StopRequest
from maskformer_jax.training.workdir_lock import LOCK_FILE, locked


@pytest.fixture(scope="module")
def finished(tiny_recipe: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """A run of two steps on a data set whose classes are a file of one's own."""
    folder = tmp_path_factory.mktemp("project")
    config = deepcopy(tiny_recipe)
    config.model.head = "per_pixel"  # compiles quickly
    config.train.num_steps = config.train.checkpoint_every = config.train.eval_every = 2
    (folder / "mine.json").write_text(to_json(load_dataset_info("shapes")))
    config.data.dataset = str(folder / "mine.json")
    train(config, folder / "run")
    return config, folder / "run"


@pytest.fixture
def run(finished: tuple[Config, Path], tmp_path: Path) -> tuple[Config, Path]:
    config, workdir = finished
    shutil.copytree(workdir, tmp_path / "run")
    return deepcopy(config), tmp_path / "run"


def content(workdir: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in workdir.rglob("*") if path.is_file()}


def test_it_has_its_classes_and_no_absolute_path(run: tuple[Config, Path], tmp_path: Path) -> None:
    config, workdir = run
    texts = [(workdir / name).read_text() for name in ("config.json", "categories.json")]
    texts.append((workdir / "checkpoints/2/meta/metadata").read_text())
    for text in texts:
        assert str(Path(config.data.root).parent) not in text
        assert str(Path(config.data.dataset).parent) not in text
    Path(config.data.dataset).rename(tmp_path / "gone.json")
    try:
        loaded = load_pretrained(workdir)
    finally:
        (tmp_path / "gone.json").rename(config.data.dataset)
    assert loaded.categories == load_dataset_info("shapes").categories
    text = (workdir / "config.json").read_text()
    (workdir / "config.json").write_text(text.replace("$WORKDIR/categories.json", "gone.json"))
    assert load_pretrained(workdir).categories == loaded.categories
    (workdir / "config.json").write_text(text)
    image = draw_example("val", 0).image
    assert loaded.predict(image).semantic.shape == image.shape[:2]


def test_a_project_can_be_moved(tmp_path: Path) -> None:
    config = load_config("shapes/maskformer_R18")
    config.data.root = str(tmp_path / "old/data")
    workdir = tmp_path / "old/runs/one"
    write_workdir({"params": {"x": np.zeros(2)}}, config, workdir)
    read = read_config(workdir)
    assert read is not None
    assert read.data.root == config.data.root
    (tmp_path / "old").rename(tmp_path / "new")
    moved = read_config(tmp_path / "new/runs/one/checkpoints/0")
    assert moved is not None
    assert moved.data.root == str(tmp_path / "new/data")
    assert load_config(tmp_path / "new/runs/one/config.json").data.root == moved.data.root


def rename_classes(config: Config, folder: Path, names: dict[str, str]) -> None:
    text = Path(config.data.dataset).read_text()
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    (folder / "other.json").write_text(text)
    config.data.dataset = str(folder / "other.json")


def test_other_classes_and_models_are_refused_and_nothing_is_changed(
    run: tuple[Config, Path], tmp_path: Path
) -> None:
    config, workdir = run
    before = content(workdir)
    config.train.num_steps = 3
    other = deepcopy(config)
    first, second = (category.name for category in load_dataset_info("shapes").categories[:2])
    rename_classes(other, tmp_path, {first: "x", second: first, "x": second})
    message = rf"label 0 is '{first}' there, '{second}' here"
    with pytest.raises(UserError, match=message):
        train(other, workdir)
    with pytest.raises(UserError, match=message):
        load_pretrained(workdir, config=other)
    other.data.allow_other_classes = True
    assert load_pretrained(workdir, config=other).categories[0].name == second
    other = deepcopy(config)
    other.model.pixel_mean = (0.0, 0.0, 0.0)
    with pytest.raises(UserError, match=r"another model:\n  config\.model\.pixel_mean \(123"):
        train(other, workdir)
    other = deepcopy(config)
    other.data.root = "/nowhere"
    with pytest.raises(UserError, match=r"config\.data\.root is '/nowhere'"):
        train(other, workdir)
    assert content(workdir) == before
    assert not (workdir / LOCK_FILE).exists()


def test_what_has_changed_is_told(
    run: tuple[Config, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir = run
    config.train.num_steps, config.optim.learning_rate = 3, 5e-4
    train(config, workdir)
    printed = capsys.readouterr().out
    assert f"{workdir}: resuming from step 2" in printed
    assert "config.optim.learning_rate 0.001 -> 0.0005" in printed
    assert "config.train.num_steps 2 -> 3" in printed
    assert "data.root" not in printed
    assert [line["step"] for line in read_metrics(workdir) if "loss" in line] == [1, 2, 3]
    read = read_config(workdir)
    assert read is not None
    assert read.train.num_steps == 3
    info = read_classes(workdir)
    assert info is not None
    assert info.categories == load_dataset_info("shapes").categories


def test_a_run_says_what_it_is(
    run: tuple[Config, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir = run
    config.train.num_steps = 3
    train(config, workdir)
    printed = capsys.readouterr().out
    assert "devices: 1 x cpu" in printed
    assert "M parameters, float32" in printed
    assert "9 classes, 12 images of train, 3 of val" in printed
    assert "compiling the training step" in printed


def test_the_second_training_in_a_workdir_is_refused_at_once(
    run: tuple[Config, Path], tmp_path: Path
) -> None:
    config, workdir = run
    before = content(workdir)
    with (workdir / LOCK_FILE).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another training is running in this workdir"):
            train(config, workdir)
    (workdir / LOCK_FILE).unlink()
    assert content(workdir) == before
    with locked(tmp_path / "new/run"):
        assert (tmp_path / "new/run" / LOCK_FILE).exists()
        with pytest.raises(UserError, match="another training"), locked(tmp_path / "new/run"):
            pass
    assert not (tmp_path / "new").exists()


def run_code(code: str) -> int:
    """The exit status of a new process that runs the code in the repository."""
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60).returncode


def test_a_crash_leaves_no_lock(tmp_path: Path) -> None:
    status = run_code(
        "import os, signal; from pathlib import Path\n"
        "from maskformer_jax.training.workdir_lock import locked\n"
        f"with locked(Path({str(tmp_path / 'run')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert status == -signal.SIGKILL
    assert (tmp_path / "run" / LOCK_FILE).exists()
    with locked(tmp_path / "run"):
        pass


def test_an_unwritable_workdir_is_found_first(tiny_config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tiny_config.data.root = "/nowhere"
    with pytest.raises(UserError, match=r"cannot write .*file/run: Not a directory"):
        train(tiny_config, tmp_path / "file/run")


def test_a_checkpoint_without_optimizer_state_is_trained_from(
    run: tuple[Config, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir = run
    loaded = load_pretrained(workdir)
    write_workdir(loaded.variables, loaded.config, tmp_path / "converted", loaded.categories)
    config.train.num_steps = 1
    train(config, tmp_path / "converted")
    printed = capsys.readouterr().out
    assert "checkpoints/0: has no optimizer state; the optimizer starts anew" in printed
    assert "resuming from step 0" in printed
    assert (tmp_path / "converted/checkpoints/1").is_dir()


@pytest.fixture
def interruptible() -> Iterator[StopRequest]:
    with StopRequest() as stop:
        assert not stop.reached()
        yield stop


def test_ctrl_c_once_stops_like_sigterm(interruptible: StopRequest) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    assert interruptible.reached()
    assert (interruptible.cause, interruptible.exit_status) == ("Ctrl-C", 130)


def test_ctrl_c_twice_quits() -> None:
    before = signal.getsignal(signal.SIGINT)
    status = run_code(
        "import os, signal; from maskformer_jax.training.stopping import StopRequest\n"
        "with StopRequest() as stop:\n"
        "    stop.reached()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    stop.reached()\n"
    )
    assert status == 130
    with StopRequest() as stop:
        stop.reached()
    assert signal.getsignal(signal.SIGINT) == before


def test_exhausted_memory_names_what_helps(tiny_config: Config) -> None:
    with (
        pytest.raises(UserError, match=r"too little memory") as caught,
        naming_exhausted_memory(tiny_config),
    ):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
    for field in ("loss.by_layer", "model.remat", "accumulate_steps=2", "batch_size below 4"):
        assert field in str(caught.value)
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        naming_exhausted_memory(tiny_config),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


def test_pictures_stay_in_their_folder(tmp_path: Path) -> None:
    info = load_dataset_info("shapes")
    folder = tmp_path / "run/eval/step_1"
    drawing = draw_example("val", 0)
    example = EvalExample(
        "../../../out", drawing.image, drawing.image.shape[:2], label_map=drawing.label_map
    )
    with MetricsLog(tmp_path / "run", resume_step=0) as log:
        picture_saver(folder, log, info, step=1)(example, Outputs(semantic=drawing.label_map))
    (picture,) = tmp_path.rglob("*.png")
    assert folder in picture.parents


def test_config_json_is_json(run: tuple[Config, Path]) -> None:
    _, workdir = run
    assert json.loads((workdir / "config.json").read_text())["data"]["dataset"] == (
        "$WORKDIR/categories.json"
    )


def test_evaluation_into_a_workdir_changes_nothing_of_the_run(
    finished: tuple[Config, Path], tmp_path: Path
) -> None:
    config, workdir = finished
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    names = ("config.json", "categories.json", "metrics.jsonl", "run.json")
    before = {name: (copy / name).read_bytes() for name in names if (copy / name).exists()}
    changed = deepcopy(config)
    changed.eval.max_instances = 7
    evaluate_checkpoint(changed, copy, output=copy)
    assert {name: (copy / name).read_bytes() for name in before} == before
    assert json.loads((copy / "report.json").read_text())["config"]["eval"]["max_instances"] == 7
