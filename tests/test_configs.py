"""The recipes under configs/ against the published table: names, docstrings, every setting."""

from typing import Any

import pytest
from built_in_settings import built_in_settings
from published_settings import (
    COUNTERPARTS,
    NOT_SETTINGS,
    OPTIONS,
    OWN,
    PUBLISHED,
    counterparts,
    published_settings,
)

from maskformer_jax.config.fields import section_hints
from maskformer_jax.config.io import configs_folder, list_config_names, load_config
from maskformer_jax.config.kinds import section_kinds
from maskformer_jax.config.show import walk_sections
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.recipes import cityscapes_19

OWN_CONFIGS = (
    "camvid/maskformer_R50",
    "camvid/maskformer_R50_cpu",
    "coco-panoptic/maskformer_panoptic_R50_cpu",
    "penn-fudan/maskformer_R50_cpu",
    "shapes/maskformer_R18",
)
NAMES = sorted([*PUBLISHED, *OWN_CONFIGS])


def test_every_config_is_in_the_table():
    assert list_config_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_config_loads_by_path_under_its_name(name):
    file = configs_folder() / f"{name}.py"
    config = load_config(file)
    assert config.name == name
    assert config == load_config(name)
    assert f"--config=configs/{name}.py" in file.read_text().split('"""')[1]


@pytest.mark.parametrize("name", NAMES)
def test_docstring_says_where_data_and_weights_are_and_where_they_come_from(name):
    text = (configs_folder() / f"{name}.py").read_text().split('"""')[1]
    config = load_config(name)
    assert config.data.root.startswith("datasets/")
    assert config.data.root in text
    assert "\nCost: " in text
    assert "\nExpected: " in text
    if config.train.init_backbone:
        assert config.train.init_backbone.startswith("weights/")
        assert f"\nData: {config.data.root}" in text
        assert f"\nImageNet weights: {config.train.init_backbone}" in text
        assert "(docs/datasets.md)" in text
        assert "(docs/checkpoints.md)" in text


@pytest.mark.parametrize("name", PUBLISHED)
def test_docstring_gives_cost_and_result(name):
    text = (configs_folder() / f"{name}.py").read_text().split('"""')[1]
    config, published = load_config(name), PUBLISHED[name]["published"]
    gpus = PUBLISHED[name]["solver"]["num_gpus_used"]
    images = {1: "one image", 2: "two images", 4: "four images"}[config.train.batch_size // gpus]
    memory = f"{published['train_mem_MB'] / 1000:.1f} GB"
    assert f"\nCost: published with {gpus} GPUs, {images} and {memory} each.\n" in text
    task = "PQ" if "PQ" in published else "mIoU"
    expected = f"{task} {published[task]}"
    if "mIoU_ms_flip" in published:
        expected += f" ({published['mIoU_ms_flip']} with multi-scale inference and flipping)"
    assert f"\nExpected: {expected}.\n" in text


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_field_with_a_published_counterpart_has_the_published_value(name):
    published = published_settings(name)
    differences = {}
    for section in walk_sections(load_config(name)):
        for field, default in section.defaults.items():
            ours = getattr(section.values, field)
            for key, convert in counterparts(type(section.values), field):
                found = published.get(key)
                # A setting that the published config lacks leaves our field as it is by default.
                expected = default if found is None else convert(found)
                if (ours, type(ours)) != (expected, type(expected)):
                    differences[f"{section.path}.{field}"] = f"{ours!r}, {key}: {found!r}"
    assert not differences


@pytest.mark.parametrize("name", PUBLISHED)
def test_options_of_our_own_are_off(name):
    for section in walk_sections(load_config(name)):
        for field in OPTIONS.get(type(section.values), ()):
            assert getattr(section.values, field) == section.defaults[field], field


def test_every_field_is_a_published_setting_or_an_option_or_our_own():
    for kind in (type(section.values) for name in NAMES for section in every_section(name)):
        fields = {name for name, hint in section_hints(kind).items() if not section_kinds(hint)}
        groups = [set(COUNTERPARTS[kind]), OPTIONS.get(kind, set()), OWN.get(kind, set())]
        assert set().union(*groups) == fields, kind
        assert sum(map(len, groups)) == len(fields), kind


def every_section(name: str) -> list[Any]:
    return list(walk_sections(load_config(name)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_setting_is_a_field_or_built_in(name):
    config = load_config(name)
    mapped = {
        counterpart.key
        for section in walk_sections(config)
        for field in section.defaults
        for counterpart in counterparts(type(section.values), field)
    }
    built_in = built_in_settings(config)
    for key, value in published_settings(name).items():
        if key in NOT_SETTINGS or key in mapped:
            continue
        if value is None and any(other.startswith(f"{key}.") for other in mapped):
            continue  # a whole section that the published config lacks
        assert built_in[key] == value, key


def test_the_table_has_every_setting_that_a_field_is_said_to_be():
    found = {
        key
        for name in PUBLISHED
        for key, value in published_settings(name).items()
        if value is not None
    }
    for kind, fields in COUNTERPARTS.items():
        for field in fields:
            for counterpart in counterparts(kind, field):
                assert counterpart.key in found


@pytest.mark.parametrize("name", NAMES)
def test_no_more_slots_than_semantic_segmentation_needs(name):
    config = load_config(name)
    if config.data.mapper == "semantic":  # one segment for each class
        assert config.data.num_segments <= load_dataset_info(config.data.dataset).num_classes


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_two_transformers_are_alike(name):
    # The published pixel decoder takes these from the settings of the transformer decoder.
    model = load_config(name).model
    if model.pixel_decoder.type == "transformer_fpn":
        for field in ("num_heads", "ffn_dim", "dropout", "pre_norm"):
            assert getattr(model.pixel_decoder, field) == getattr(model.transformer_decoder, field)


def test_short_edges_are_rounded_down_as_published():
    # Cityscapes' list (base 1024): 0.9 times 1024 is 921.6, 1.3 times 1331.2.
    assert cityscapes_19().data.augment.short_edges == (
        *(512, 614, 716, 819, 921, 1024, 1126, 1228),
        *(1331, 1433, 1536, 1638, 1740, 1843, 1945, 2048),
    )
