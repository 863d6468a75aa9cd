"""What queries do: statistics on drawn queries, and attention that gives the layer's output."""

import copy
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inspection.html_page import Page
from test_pretrained import config, photograph, saved

from maskformer_jax.__main__ import main
from maskformer_jax.checkpoints.export import write_workdir
from maskformer_jax.config import Config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.image_files import encode_image
from maskformer_jax.inspection.queries.collect import spread
from maskformer_jax.inspection.queries.one_image import ImageQueries, QueryInspector
from maskformer_jax.inspection.queries.statistics import GRID, count_uses
from maskformer_jax.models.build import build_model
from maskformer_jax.pretrained import Loaded

__all__ = ["config", "saved"]  # fixtures


def draw_queries(*labels: int | None) -> ImageQueries:
    """Of 3 classes; query i has the mask of the i-th quarter of the image, from the left."""
    classes = np.full((1, len(labels), 4), 0.1, np.float32)
    masks = np.zeros((1, len(labels), 32, 64), np.float32)
    for query, label in enumerate(labels):
        classes[0, query, 3 if label is None else label] = 0.7
        masks[0, query, :, 16 * query : 16 * (query + 1)] = 1
    return ImageQueries(classes, masks, np.zeros((1, len(labels), 4, 8), np.float32))


def test_statistics() -> None:
    statistics = count_uses([draw_queries(0, 2, None), draw_queries(1, 2, None)])
    assert statistics.images == 2
    np.testing.assert_array_equal(statistics.counts, [[1, 1, 0], [0, 0, 2], [0, 0, 0]])
    np.testing.assert_array_equal(statistics.uses, [2, 2, 0])
    np.testing.assert_allclose(statistics.areas, [0.25, 0.25, 0])
    columns = statistics.places[1].mean(axis=0)
    np.testing.assert_allclose(columns, np.repeat([0, 1, 0, 0], GRID // 4))
    assert not statistics.places[2].any()


def test_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="no images"):
        count_uses([])


def test_every_beginning_is_spread() -> None:
    for number in (1, 2, 7, 100):
        assert sorted(spread(number)) == list(range(number))
    first = np.sort(spread(100)[:5])
    assert np.diff(first).max() < 45
    assert np.diff(first).min() > 5


@pytest.fixture(scope="module")
def one_head(config: Config) -> Loaded:
    """A model with two layers and one head of attention, so that the mean over heads is it."""
    config = copy.deepcopy(config)
    config.model.transformer_decoder.num_heads = 1
    config.model.transformer_decoder.num_layers = 2
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8))
    rng = np.random.default_rng(7)
    variables = {
        "params": jax.tree.map(
            lambda x: jnp.float32(rng.normal(0, 0.3, x.shape)), shapes["params"]
        ),
        "constants": jax.tree.map(
            lambda x: jnp.float32(rng.uniform(0.5, 1.5, x.shape)), shapes["constants"]
        ),
    }
    return Loaded(model=model, variables=variables, config=config, categories=info.categories)


def test_attention_times_values_is_the_output_of_the_layer(one_head: Loaded) -> None:
    image = photograph(64, 96)
    one_head.config.eval.short_edge = 64
    queries = QueryInspector(one_head).inspect(image)
    assert queries.class_probabilities.shape[0] == queries.attention.shape[0] == 2
    np.testing.assert_allclose(queries.attention.sum((2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(queries.class_probabilities.sum(-1), 1, rtol=1e-5)

    predictions, captured = one_head.model.apply(
        one_head.variables, image[None], capture_intermediates=True, mutable=["intermediates"]
    )
    np.testing.assert_allclose(
        queries.mask_probabilities, jax.nn.sigmoid(predictions.mask_logits[:, 0]), atol=1e-4
    )
    for layer in range(2):
        name = f"layer_{layer}"
        parts = captured["intermediates"]["transformer_decoder"][name]["cross_attention"]
        weights = one_head.variables["params"]["transformer_decoder"][name]["cross_attention"]
        value = parts["value"]["__call__"][0][0, :, 0]
        out = weights["out"]
        mixed = queries.attention[layer].reshape(len(queries.attention[layer]), -1) @ value
        np.testing.assert_allclose(
            mixed @ out["kernel"][0] + out["bias"][None],
            parts["__call__"][0][0],
            rtol=1e-3,
            atol=1e-4,
        )


def test_page_of_a_folder(saved: Loaded, tmp_path: Path) -> None:
    write_workdir(saved.variables, saved.config, tmp_path / "run")
    (tmp_path / "images").mkdir()
    for number in range(3):
        picture = encode_image(photograph(40 + number, 60))
        (tmp_path / "images" / f"{number}.png").write_bytes(picture)
    file = tmp_path / "queries.html"
    command = ["queries", f"--checkpoint={tmp_path / 'run'}", f"--output={file}"]
    assert main([*command, "--images", str(tmp_path / "images"), "--shown=2"]) == 0
    text = file.read_text("utf-8")
    page = Page(text)
    assert not page.open
    assert all(source.startswith("data:image/") for source in page.sources)
    assert text.count('<div class="viewer"') == 2
    assert "are used in 3 images" in text
    assert "layer 1 of 1" in text


def test_model_without_queries_is_refused(saved: Loaded) -> None:
    saved.config.model.head = "per_pixel"
    with pytest.raises(UserError, match="no queries"):
        QueryInspector(saved)
    saved.config.model.head = "mask_classification"


def test_arrays_of_the_page(saved: Loaded) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "pages.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {"loaded": saved, "images": [photograph(40, 60)]}
    exec(program, names)
    layers, queries, classes = names["queries"][0].class_probabilities.shape
    assert (layers, queries, classes) == (1, 5, len(saved.categories) + 1)
    assert names["queries"][0].mask_probabilities.shape[:2] == (layers, queries)
