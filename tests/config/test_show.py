"""Fields with comments and origins: from the classes' source, the recipes' source and flags."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from maskformer_jax.config import Config, MaskFormerDecoderConfig, SwinConfig, TransformerFPNConfig
from maskformer_jax.config.comments import field_comments, first_docstring_line
from maskformer_jax.config.fields import walk_fields
from maskformer_jax.config.io import find_config_file, list_config_names, load_config, to_json
from maskformer_jax.config.origins import nearest_line, recipe_lines
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.config.show import WIDTH, list_fields, show_config, walk_sections

RECIPE = """
from maskformer_jax.config import Config, OptimConfig, SwinConfig
from maskformer_jax.recipes import ade20k_150


def get_config() -> Config:
    config = small()
    config.model.backbone = SwinConfig(embed_dim=192)
    decoder = config.model.transformer_decoder
    decoder.num_queries = 20
    for name in ("b1",):
        setattr(config.optim, name, 0.8)
    return config


def small():
    config = ade20k_150(crop=256)
    config.optim = OptimConfig(
        learning_rate=1e-3,
        weight_decay=1e-4,
    )
    return config
"""


@pytest.fixture
def recipe(tmp_path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(RECIPE)
    return file


def shown(config: Config, file: Path, *overrides: str) -> dict[str, tuple[str, str]]:
    """Path to (value, origin) of every field; of a long value, the part on the first line."""
    text = show_config(config, file=file, overrides=overrides)
    rows, section = {}, ""
    for line in text.splitlines():
        if header := re.match(r"config(?:\.([\w.]+))?: ", line):
            section = f"{header[1]}." if header[1] else ""
        elif row := re.match(r"  (\w+) ", line):
            rows[section + row[1]] = (line[27:69].strip(), line[70:])
    return rows


def line_of(file: Path, text: str) -> int:
    [number] = [i for i, line in enumerate(file.read_text().splitlines(), 1) if text in line]
    return number


@dataclass
class Commented:
    """What it is about.

    More of it.
    """

    # Above, on
    # two lines.
    first: int = 0  # and beside # it
    bare: str = "# no comment"
    wrapped: tuple[int, ...] = (
        1,  # inside
        2,
    )

    # Not at a field.

    last: int = 2


@dataclass
class Derived(Commented):
    """Another."""

    bare: str = ""  # now with one


def test_comments_above_and_beside_a_field():
    assert field_comments(Commented) == {
        "first": "Above, on two lines. and beside # it",
        "wrapped": "inside",
    }
    assert field_comments(Derived)["bare"] == "now with one"
    assert field_comments(Derived)["first"] == field_comments(Commented)["first"]
    assert first_docstring_line(Commented) == "What it is about."


def test_comments_of_sections_and_of_what_they_inherit():
    assert field_comments(MaskFormerDecoderConfig)["share_heads"].startswith("one pair of heads")
    assert field_comments(TransformerFPNConfig)["conv_dim"].startswith("inner width")
    assert field_comments(SwinConfig)["window"] == "side, in tokens"


def test_every_field_of_every_recipe_is_shown_once_within_the_width():
    for name in list_config_names():
        config, file = load_config(name), find_config_file(name)
        text = show_config(config, file=file, overrides=())
        first, *lines = text.splitlines()
        assert first == f"config file: {file}"
        assert max(map(len, lines)) <= WIDTH
        fields = re.findall(r"^  (\w+) ", text, flags=re.MULTILINE)
        names = [field.path.rpartition(".")[2] for field in walk_fields(config)]
        assert sorted(fields) == sorted(names)


def test_all_that_differs_from_the_defaults_has_its_line_in_the_published_recipes():
    for name in list_config_names():
        file = find_config_file(name)
        for path, (_, origin) in shown(load_config(name), file).items():
            if path != "name":
                assert re.fullmatch(r"default|(config file|recipes\.py), line \d+", origin), path


def test_values_and_origins(recipe):
    config = load_config(recipe)
    changed = apply_overrides(config, ["optim.eps=1e-6", "data.augment.max_size=1024"])
    rows = shown(changed, recipe, "optim.eps=1e-6", "data.augment.max_size=1024")

    def here(text: str) -> str:
        return f"config file, line {line_of(recipe, text)}"

    assert rows["optim.learning_rate"] == ("0.001", here("learning_rate=1e-3"))
    assert rows["optim.weight_decay"] == ("0.0001", here("weight_decay=1e-4"))  # as by default
    assert rows["optim.eps"] == ("1e-06", "command line")
    assert rows["data.augment.max_size"] == ("1024", "command line")  # the recipe's value is too
    assert rows["optim.b2"] == ("0.999", "default")
    assert rows["optim.b1"] == ("0.8", here("config.optim = OptimConfig("))  # the nearest known
    assert rows["model.backbone.type"] == ("swin", here("SwinConfig(embed_dim=192)"))
    assert rows["model.backbone.embed_dim"] == ("192", here("SwinConfig(embed_dim=192)"))
    assert rows["model.backbone.window"] == ("7", "default")
    assert rows["model.transformer_decoder.num_queries"] == ("20", here("num_queries = 20"))
    assert rows["train.num_steps"][1].startswith("recipes.py, line ")


def test_a_section_that_is_replaced_forgets_the_lines_inside_it(recipe):
    recipe.write_text(
        "from maskformer_jax.config import Config, OptimConfig\n\n\n"
        "def get_config():\n"
        "    config = Config(optim=OptimConfig(b1=0.5, b2=0.6))\n"
        "    config.optim = OptimConfig(b1=0.7)\n"
        "    return config\n"
    )
    lines = recipe_lines(recipe)
    assert (lines["optim.b1"].line, lines["optim"].line) == (6, 6)
    assert "optim.b2" not in lines
    assert nearest_line("optim.b2", lines) == (recipe, 6)
    assert nearest_line("train.seed", lines) is None


def test_a_recipe_that_calls_itself_ends(recipe):
    recipe.write_text("def get_config():\n    return get_config()\n")
    assert recipe_lines(recipe) == {}


def test_a_part_switched_on_the_command_line():
    config = load_config("camvid/maskformer_R50")
    override = "model.pixel_decoder.type=transformer_fpn"
    changed = apply_overrides(config, [override])
    rows = shown(changed, find_config_file("camvid/maskformer_R50"), override)
    assert rows["model.pixel_decoder.type"] == ("transformer_fpn", "command line")
    assert rows["model.pixel_decoder.num_layers"] == ("6", "default")


def test_config_of_a_run(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(to_json(load_config("camvid/maskformer_R50")))
    rows = shown(load_config(file), file)
    assert rows["data.dataset"] == ("camvid", "config.json")
    assert rows["optim.eps"] == ("1e-08", "default")


def test_long_values_wrap_and_long_words_stay_whole():
    config = load_config("camvid/maskformer_R50")
    config.data.root = "/a/folder/with/a/name/that/is/longer/than/the/column"
    text = show_config(config, file=find_config_file("camvid/maskformer_R50"), overrides=())
    assert f"\n{' ' * 27}{config.data.root}\n" in text
    [start] = re.findall(r"\n  short_edges +(\(180, .*?) +config file, line \d+\n", text)
    rest = text.partition(start)[2].splitlines()[1].strip()
    assert f"{start} {rest}" == str(config.data.augment.short_edges)


def test_fields_as_flags_are_read_back():
    config = load_config("coco-panoptic/swin/maskformer_panoptic_swin_tiny_bs64_554k")
    flags = re.findall(r"^  --(config\.[\w.]+=.*?)(?:  .*)?$", list_fields(config), re.MULTILINE)
    assert len(flags) == len(list(walk_fields(config)))
    flags = [flag.replace('=""', "=") for flag in flags]
    assert apply_overrides(config, flags) == config
    assert apply_overrides(Config(), flags) == config


def test_sections_come_before_what_is_inside_them():
    paths = [section.path for section in walk_sections(Config())]
    assert paths[0] == ""
    assert paths.index("model") < paths.index("model.backbone")
    assert len(paths) == len(set(paths)) == 14
