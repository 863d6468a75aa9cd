import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.__main__ import COMMANDS, main
from maskformer_jax.config.io import list_config_names, load_config, to_json
from maskformer_jax.errors import UserError

REPOSITORY = Path(__file__).parent.parent
CONFIG = "--config=camvid/maskformer_R50"
# An existing folder for the data, and no ImageNet weights: the commands look for both at the start.
FILES = (f"--config.data.root={REPOSITORY}", "--config.train.init_backbone=")
MAPPERS = ("semantic,", "panoptic,", "coco_panoptic,", "instance")


class Calls:
    """Stands in for the functions that commands call, and keeps what they are called with."""

    def __init__(self, monkeypatch):
        self.made = []
        self._monkeypatch = monkeypatch

    def replace(self, module: str, **results: object) -> None:
        def recorder(name: str, result: object):
            def record(*arguments: object, **options: object) -> object:
                self.made.append((name, arguments, options))
                if isinstance(result, Exception):
                    raise result
                return result

            return record

        functions = {name: recorder(name, result) for name, result in results.items()}
        self._monkeypatch.setitem(sys.modules, module, SimpleNamespace(**functions))


@pytest.fixture
def calls(monkeypatch) -> Calls:
    return Calls(monkeypatch)


def run(*argv: str) -> int:
    """The exit status of a command."""
    try:
        return main(argv)
    except SystemExit as stop:
        return int(stop.code or 0)


def test_train_passes_config_with_overrides_and_workdir(calls, tmp_path):
    calls.replace("maskformer_jax.training.loop", train=None)
    options = ("--config.optim.learning_rate=6e-5", "--config.data.augment.crop_size", "96,128")
    assert run("train", CONFIG, f"--workdir={tmp_path}", *FILES, *options) == 0
    [(_, (config, workdir), _)] = calls.made
    expected = load_config("camvid/maskformer_R50")
    expected.data.root = str(REPOSITORY)
    expected.train.init_backbone = ""
    expected.optim.learning_rate = 6e-5
    expected.data.augment.crop_size = (96, 128)
    assert config == expected
    assert workdir == tmp_path


def test_eval_passes_checkpoint_and_output(calls):
    calls.replace("maskformer_jax.scoring", evaluate_checkpoint={"mIoU": 1.0})
    arguments = ("eval", CONFIG, *FILES, "--checkpoint=run", "--output=out")
    assert run(*arguments, "--save-predictions") == 0
    [(_, (config, checkpoint), options)] = calls.made
    assert config.name == "camvid/maskformer_R50"
    assert checkpoint == Path("run")
    assert options == {"output": Path("out"), "save_predictions": ("labels", "coco")}


def test_saving_predictions_needs_a_folder(calls, capsys):
    calls.replace("maskformer_jax.scoring", evaluate_checkpoint={})
    assert run("eval", CONFIG, "--checkpoint=run", "--save-predictions") == 2
    assert "--save-predictions needs --output=DIR" in capsys.readouterr().err
    assert not calls.made


def test_formats_of_predictions(calls, capsys):
    calls.replace("maskformer_jax.scoring", evaluate_checkpoint={})
    arguments = ("eval", CONFIG, *FILES, "--checkpoint=run", "--output=out")
    assert run(*arguments, "--save-predictions=category-ids") == 0
    assert calls.made[0][2]["save_predictions"] == ("category-ids",)
    assert run(*arguments, "--save-predictions=category_ids") == 2
    assert "did you mean category-ids?" in capsys.readouterr().err


def test_predict_takes_the_config_beside_the_checkpoint(calls, tmp_path):
    calls.replace("maskformer_jax.prediction.predict", predict_paths=None)
    calls.replace("maskformer_jax.pretrained", load_pretrained="loaded")
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    (tmp_path / "config.json").write_text(to_json(load_config("shapes/maskformer_R18")))
    arguments = (
        "--config.eval.short_edge=48",
        f"--checkpoint={tmp_path}",
        "--output=out",
        "a",
        "b",
    )
    assert run("predict", *arguments) == 0
    [(_, (checkpoint,), options), (_, predicted, _)] = calls.made
    assert checkpoint == tmp_path
    assert options["config"].name == "shapes/maskformer_R18"
    assert options["config"].eval.short_edge == 48
    assert predicted == ("loaded", [Path("a"), Path("b")], Path("out"))


def test_predict_without_any_config_asks_for_one(tmp_path, capsys):
    (tmp_path / "model.pkl").write_bytes(b"")
    assert run("predict", f"--checkpoint={tmp_path / 'model.pkl'}", "--output=out", "a.png") == 1
    assert "model.pkl does not say which model it is" in capsys.readouterr().err


def test_missing_checkpoint(tmp_path, capsys):
    assert run("predict", f"--checkpoint={tmp_path / 'run'}", "--output=out", "a.png") == 1
    assert f"{tmp_path / 'run'}: there is no such checkpoint" in capsys.readouterr().err


def test_prepare_passes_sizes(calls, tmp_path, capsys):
    calls.replace("maskformer_jax.data.tfds_builders.shapes", prepare_shapes=None)
    assert run("prepare", "shapes", f"--root={tmp_path}", "--num-val=5") == 0
    [(_, (root,), options)] = calls.made
    assert (root, options["num_val"]) == (tmp_path, 5)
    assert f"wrote {tmp_path}" in capsys.readouterr().out


def camvid_folder(root: Path, *, label: int) -> Path:
    for kind, array in (
        ("images", np.zeros((8, 8, 3), np.uint8)),
        ("annotations", np.full((8, 8), label, np.uint8)),
    ):
        (root / kind / "val").mkdir(parents=True)
        Image.fromarray(array).save(root / kind / "val" / "a.png")
    return root


def test_check_data_of_one_split(tmp_path, capsys):
    root = camvid_folder(tmp_path, label=3)
    assert run("check-data", CONFIG, f"--config.data.root={root}", "--split=val") == 0
    assert "0 problems" in capsys.readouterr().out


def test_check_data_ends_with_status_1_where_there_are_problems(tmp_path, capsys):
    root = camvid_folder(tmp_path, label=77)
    assert run("check-data", CONFIG, f"--config.data.root={root}", "--split=val") == 1
    output = capsys.readouterr()
    assert "77" in output.out
    assert f"error: {root}: the data set has problems" in output.err


def test_list(capsys):
    assert run("list") == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    rows = {name: cells for name, *cells in map(str.split, lines)}
    assert list(rows) == list_config_names()
    small = rows["ade20k-150/maskformer_R50_bs16_160k"]
    assert " ".join(small) == "41.3 M 52.5 G 512x512 mIoU 44.5 (46.7)"
    assert rows["shapes/maskformer_R18"][-1] == "-"


@pytest.mark.parametrize("argv", [[], ["--help"], ["help"]])
def test_help_lists_every_command(argv, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["maskformer-jax"])
    assert run(*argv) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1] == " "]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command, capsys):
    assert run(command, "--help") == 0
    assert f"python -m maskformer_jax {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_is_short_and_names_the_list_of_fields(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert "--help-config" in text
    assert "--config.optim.learning_rate" not in text
    assert len(text.splitlines()) < 50


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_config_lists_fields_with_types_and_values(command, capsys):
    assert run(command, "--help-config") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["--config.optim.learning_rate=0.0001", "float"] in lines
    assert ["--config.data.mapper=semantic", "one", "of", *MAPPERS] in lines


def test_help_config_lists_the_parts_of_the_chosen_config(capsys):
    swin = "--config=ade20k-150/swin/maskformer_swin_tiny_bs16_160k"
    switch = "--config.model.pixel_decoder.type=transformer_fpn"
    assert run("train", "--help-config", swin, switch) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["--config.optim.learning_rate=6e-05", "float"] in lines
    assert ["--config.model.backbone.type=swin", "one", "of", "resnet,", "swin"] in lines
    assert ["--config.model.backbone.window=7", "int"] in lines
    assert ["--config.model.pixel_decoder.num_layers=6", "int"] in lines
    assert not any(words[0].startswith("--config.model.backbone.depth=") for words in lines)


def test_show_config_prints_values_with_overrides(capsys):
    name = "camvid/maskformer_R50"
    assert run("show-config", name, "--config.train.seed=7", "--config.optim.b1", "0.5") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["seed", "7", "command", "line"] in lines
    assert ["b1", "0.5", "command", "line"] in lines
    assert ["dataset", "camvid", "config", "file,", "line"] in [words[:-1] for words in lines]


def test_show_config_of_a_run(tmp_path, capsys):
    config = load_config("shapes/maskformer_R18")
    (tmp_path / "config.json").write_text(to_json(config))
    assert run("show-config", str(tmp_path / "config.json")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["dataset", "shapes", "config.json"] in lines
    assert ["b2", "0.999", "default"] in lines


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["trian"], 2, "unknown command 'trian'; did you mean train?"),
        (["train", "--worckdir=x"], 2, "unknown flag --worckdir; did you mean --workdir?"),
        (["train", "--wrk", "x", CONFIG], 2, "unknown flag --wrk; "),
        (["train", "--optim.learning_rate=1"], 2, "did you mean --config.optim.learning_rate?"),
        (["train", CONFIG], 2, "required: --workdir"),
        (["train", "--workdir=x"], 2, "required: --config"),
        (["train", CONFIG, "--config.train.seed"], 2, "--config.train.seed needs a value"),
        (["train", CONFIG, "--config.train.seed", "--workdir=x"], 2, "needs a value"),
        (["train", CONFIG, "--workdir=x", "y"], 2, "unrecognized arguments: y"),
        (["list", "--config.train.seed=1"], 2, "unknown flag --config.train.seed"),
        (["show-config"], 2, "required: CONFIG"),
        (["show-config", "camvid/maskformer_R5"], 1, "did you mean camvid/maskformer_R50?"),
        (["train", "--help-config", "--config=camvid/x"], 1, "there is no config 'camvid/x'"),
        (
            ["train", CONFIG, "--workdir=x", "--config.data.root=no/such", FILES[1]],
            1,
            "config.data.root is 'no/such', but there is no such folder; docs/datasets.md says",
        ),
        (
            ["eval", CONFIG, "--checkpoint=x", "--config.data.root=no/such"],
            1,
            "config.data.root is 'no/such', but there is no such folder; docs/datasets.md says",
        ),
        (
            ["train", CONFIG, "--workdir=x", FILES[0], "--config.train.init_backbone=a.pkl"],
            1,
            "config.train.init_backbone is 'a.pkl', but there is no such file; "
            "docs/checkpoints.md says where it comes from",
        ),
        (
            ["convert", CONFIG, "--checkpoint=x", "--output=x.pkl", "--format=workdir"],
            2,
            "--format",
        ),
        (["convert", CONFIG, "--checkpoint=x", "--output=x", "--naming=current"], 2, "--naming is"),
        (["prepare", "shape", "--root=x"], 2, "invalid choice: 'shape'"),
        (["train", "--config=camvid/x", "--workdir=x"], 1, "there is no config 'camvid/x'"),
        (
            ["train", CONFIG, "--workdir=x", "--config.optim.lerning_rate=1"],
            1,
            "no field config.optim.lerning_rate; did you mean config.optim.learning_rate?",
        ),
        (
            ["train", CONFIG, "--workdir=x", "--config.train.num_steps=many"],
            1,
            "config.train.num_steps is 'many', but must be int",
        ),
        (["train", CONFIG, "--workdir=x", "--config.train.num_steps=0"], 1, "must be above 0"),
    ],
)
def test_mistakes_are_short_messages(argv, status, message, capsys, calls):
    calls.replace("maskformer_jax.training.loop", train=None)
    calls.replace("maskformer_jax.scoring", evaluate_checkpoint={})
    assert run(*argv) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) <= 2
    assert not calls.made


def test_user_errors_become_a_message_and_other_errors_do_not(calls, capsys):
    calls.replace("maskformer_jax.training.loop", train=UserError("disk full"))
    assert run("train", CONFIG, "--workdir=x", *FILES) == 1
    assert capsys.readouterr().err == "error: disk full\n"
    calls.replace("maskformer_jax.training.loop", train=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run("train", CONFIG, "--workdir=x", *FILES)


def test_a_resumed_run_does_not_need_the_imagenet_weights(calls, tmp_path):
    calls.replace("maskformer_jax.training.loop", train=None)
    (tmp_path / "checkpoints" / "5" / "model").mkdir(parents=True)
    weights = "--config.train.init_backbone=no/such.pkl"
    assert run("train", CONFIG, f"--workdir={tmp_path}", FILES[0], weights) == 0
    assert len(calls.made) == 1


# The scripts run in processes of their own: without the type checks that pytest adds, and as
# people see them.
def run_script(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )


def test_train_script_on_a_config_with_a_typo(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from maskformer_jax.config import Config, OptimConfig\n\n"
        "def get_config():\n    return Config(optim=OptimConfig(lerning_rate=1e-4))\n"
    )
    result = run_script("train.py", f"--config={file}", f"--workdir={tmp_path / 'run'}")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: {file}, line 4: OptimConfig has no field 'lerning_rate'; "
        "did you mean learning_rate?\n"
    )
    assert not (tmp_path / "run").exists()


def test_eval_script_on_a_missing_argument():
    result = run_script("eval.py", CONFIG)
    assert result.returncode == 2
    assert "required: --checkpoint" in result.stderr
    assert "Traceback" not in result.stderr


def test_scripts_do_nothing_when_imported_by_loader_workers():
    code = "import sys, train, eval; assert 'jax' not in sys.modules"
    result = run_script("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
