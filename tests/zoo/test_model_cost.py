"""The model zoo's numbers: computed again, and against the published ones."""

import json
from pathlib import Path

import pytest

from maskformer_jax.config.io import list_config_names, load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.zoo.cost import measure_cost
from maskformer_jax.zoo.records import WEIGHTS_URL, read_model_zoo

ZOO = read_model_zoo()
TABLE = Path(__file__).parents[1] / "published_configs.json"
PUBLISHED = json.loads(TABLE.read_text())["configs"]
# "FLOPs" of tables 1 and 3 in G, at crop size and for COCO the mean of a hundred images.
TABLE_1 = {
    "maskformer_R50_bs16_160k": 53,
    "maskformer_R101_bs16_160k": 73,
    "maskformer_R101c_bs16_160k": 80,
    "swin/maskformer_swin_tiny_bs16_160k": 55,
    "swin/maskformer_swin_small_bs16_160k": 79,
    "swin/maskformer_swin_base_IN21k_384_bs16_160k_res640": 195,
    "swin/maskformer_swin_large_IN21k_384_bs16_160k_res640": 375,
}
TABLE_3 = {
    "maskformer_panoptic_R50_bs64_554k": 181,
    "maskformer_panoptic_R101_bs64_554k": 248,
    "swin/maskformer_panoptic_swin_tiny_bs64_554k": 179,
    "swin/maskformer_panoptic_swin_small_bs64_554k": 259,
    "swin/maskformer_panoptic_swin_base_IN21k_384_bs64_554k": 411,
    "swin/maskformer_panoptic_swin_large_IN21k_384_bs64_554k": 792,
}


def test_the_zoo_has_every_recipe():
    assert list(ZOO) == list_config_names()


@pytest.mark.parametrize("name", list_config_names())
def test_size_and_cost_are_what_the_models_have(name):
    config = load_config(name)
    cost = measure_cost(config, num_classes=load_dataset_info(config.data.dataset).num_classes)
    # If this fails after a change on purpose: python -m tools.measure_models
    assert cost == ZOO[name][:3]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_facts(name):
    entry, facts = PUBLISHED[name], ZOO[name]
    published = entry["published"]
    task = "PQ" if "PQ" in published else "mIoU"
    assert facts.parameters == entry["parameters"]
    assert (facts.metric, facts.value) == (task, published[task])
    assert facts.several_scales == published.get("mIoU_ms_flip")
    assert WEIGHTS_URL + facts.file == published["checkpoint_url"]
    assert facts.file.endswith(f"model_final_{published['checkpoint_md5_prefix']}.pkl")


@pytest.mark.parametrize(
    ("table", "dataset"), [(TABLE_1, "ade20k-150"), (TABLE_3, "coco-panoptic")]
)
def test_multiply_adds_agree_with_the_paper(table, dataset):
    for name, published in table.items():
        deviation = 100 * (ZOO[f"{dataset}/{name}"].multiply_adds / 1e9 / published - 1)
        assert -3 < deviation < 0.5, name  # norms, softmax and resizes are not counted
