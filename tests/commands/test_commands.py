"""What the commands do with their arguments."""

from pathlib import Path

import numpy as np
from command_line import CONFIG, FILES, REPOSITORY, run
from PIL import Image

from maskformer_jax.config.io import list_config_names, load_config, to_json


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


def test_a_resumed_run_does_not_need_the_imagenet_weights(calls, tmp_path):
    calls.replace("maskformer_jax.training.loop", train=None)
    (tmp_path / "checkpoints" / "5" / "model").mkdir(parents=True)
    weights = "--config.train.init_backbone=no/such.pkl"
    assert run("train", CONFIG, f"--workdir={tmp_path}", FILES[0], weights) == 0
    assert len(calls.made) == 1
