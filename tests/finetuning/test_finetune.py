"""From a folder of data to a model, in one command."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from PIL import Image

from maskformer_jax.__main__ import main
from maskformer_jax.config import Config, OptimConfig, TrainConfig
from maskformer_jax.config.io import load_config
from maskformer_jax.data.label_names import to_json
from maskformer_jax.data.labels import to_stored
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import draw_example
from maskformer_jax.finetuning.facts import Facts
from maskformer_jax.finetuning.recipe_file import recipe_text
from maskformer_jax.finetuning.scaling import choose_scale

SHAPES = load_dataset_info("shapes")
TINY = (
    "--config.model.backbone.width=8",
    "--config.model.backbone.norm=frozen_batch_norm",
    "--config.model.pixel_decoder.conv_dim=32",
    "--config.model.pixel_decoder.mask_dim=32",
    "--config.model.head=per_pixel",  # compiles quickly
    "--config.compile_cache=",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "my data"
    for split, number in (("train", 5), ("val", 2)):
        for index in range(number):
            drawing = draw_example(split, index)
            image, labels = root / f"img/{split}", root / f"masks/{split}"
            image.mkdir(parents=True, exist_ok=True)
            labels.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawing.image).save(image / f"{index}.png")
            stored = to_stored(drawing.label_map, SHAPES)
            Image.fromarray(stored).save(labels / f"{index}_mask.png")
    names = [category.name for category in SHAPES.categories]
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    return root


def test_from_a_folder_to_pictures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    arguments = ("finetune", str(data), f"--workdir={workdir}", "--config=shapes/maskformer_R18")
    assert main([*arguments, "--steps=2", *TINY]) == 0
    printed = capsys.readouterr().out
    assert "images in img/{split}, label maps in masks/{split}, named NAME_mask: 7 pairs" in printed
    assert "9 classes from classes.txt" in printed
    assert "0 problems" in printed
    assert (workdir / "checkpoints/2").is_dir()
    assert {path.name for path in (workdir / "results/pictures").iterdir()} == {"0.png", "1.png"}
    metrics = json.loads((workdir / "results/metrics.json").read_text())
    assert metrics["step"] == 2
    assert "IoU/circle" in metrics
    # The recipe can be edited and trained again; started again the command goes on with it.
    recipe = workdir / "recipe.py"
    assert str(tmp_path) not in recipe.read_text()
    assert load_config(recipe).train.num_steps == 2
    recipe.write_text(recipe.read_text().replace("num_steps=2", "num_steps=3"))
    assert main([*arguments, *TINY]) == 0
    printed = capsys.readouterr().out
    assert f"going on with {recipe}" in printed
    assert "resuming from step 2" in printed
    assert (workdir / "checkpoints/3").is_dir()


def test_data_with_problems_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "img/train/0.png").write_bytes(b"damaged")
    (data / "classes.txt").write_text("only one\n")
    assert main(["finetune", str(data), f"--workdir={tmp_path / 'run'}"]) == 1
    captured = capsys.readouterr()
    assert "cannot be decoded" in captured.out
    assert "files fail alike" in captured.out
    assert "the data has problems" in captured.err
    assert not (tmp_path / "run").exists()


def test_the_recipe_only(data: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    assert main(["finetune", str(data), f"--workdir={workdir}", "--recipe-only"]) == 0
    assert {path.name for path in workdir.iterdir()} == {"recipe.py", "categories.json"}
    config = load_config(workdir / "recipe.py")
    assert config.data.label_endings == ("_mask.png",)
    assert Path(config.data.root).resolve() == data.resolve()
    info = load_dataset_info(config.data.dataset)
    assert [category.name for category in info.categories] == [
        category.name for category in SHAPES.categories
    ]
    assert json.loads((workdir / "categories.json").read_text()) == json.loads(to_json(info))


def test_a_recipe_file_gives_the_config_back(tmp_path: Path) -> None:
    for name in ("ade20k-150/swin/maskformer_swin_small_bs16_160k", "camvid/maskformer_R50_cpu"):
        config = load_config(name)
        config.train.init_checkpoint = str(tmp_path / "else where/run")
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        text = recipe_text(config, folder, title="A title.", comments={"model": "Why."})
        (folder / "recipe.py").write_text(text)
        read = load_config(folder / "recipe.py")
        assert Path(read.train.init_checkpoint).resolve() == tmp_path / "else where/run"
        read.train.init_checkpoint = config.train.init_checkpoint
        read.name = config.name
        assert read == config
        assert "# Why.\n" in text
        ruff = [sys.executable, "-m", "ruff", "check", "--isolated", str(folder / "recipe.py")]
        if subprocess.run([*ruff[:3], "--version"], capture_output=True).returncode == 0:
            assert subprocess.run(ruff, capture_output=True).returncode == 0


def facts(**changes: object) -> Facts:
    usual = Facts(
        train_images=400,
        short_side=600,
        aspect=4 / 3,
        most_segments=5,
        num_classes=5,
        devices=1,
        on_cpu=False,
        memory=24 * 2**30,
    )
    return usual._replace(**changes)


def test_scale_follows_the_data_and_the_machine() -> None:
    base = Config(
        optim=OptimConfig(learning_rate=1e-4, warmup_steps=1500, milestones=(80_000,)),
        train=TrainConfig(num_steps=160_000, batch_size=16),
    )
    scale = choose_scale(base, facts())
    assert (scale.size, scale.long_size) == (512, 672)
    assert scale.batch_size == 16
    assert scale.num_steps == 40 * 400 // 16
    assert scale.milestones == (scale.num_steps // 2,)
    assert scale.warmup_steps == scale.num_steps // 10
    assert scale.learning_rate == 1e-4
    assert choose_scale(base, facts(memory=4 * 2**30)).batch_size == 3
    small = choose_scale(base, facts(short_side=90, on_cpu=True))
    assert (small.size, small.batch_size, small.num_steps) == (64, 4, 1000)
    assert small.learning_rate == 5e-5
    assert choose_scale(base, facts(devices=8)).batch_size == 16
    assert choose_scale(base, facts(devices=32)).batch_size == 32
    assert choose_scale(base, facts(train_images=3)).num_steps == 200
    assert choose_scale(base, facts(), num_steps=7).num_steps == 7
    wide = deepcopy(base)
    wide.model = load_config("ade20k-150/swin/maskformer_swin_small_bs16_160k").model
    assert choose_scale(wide, facts()).batch_size < 16


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(tmp_path / "none"), f"--workdir={tmp_path / 'run'}"]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit):
        main(["finetune", str(tmp_path), f"--workdir={tmp_path / 'run'}", "--steps=0"])
