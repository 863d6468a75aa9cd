"""The evaluator, with a model whose queries read one colour channel each."""

import functools
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_as_users_do import FUSED_AS_USERS_DO
from flax import linen as nn

from maskformer_jax.categories import Category
from maskformer_jax.config import Config, EvalConfig, TTAConfig
from maskformer_jax.data.eval_examples import EvalExample, ExampleList, ImageShape
from maskformer_jax.data.example import PanopticLabels, PanopticSegment
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation import programs
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import MAIN_METRIC, TaskMetrics
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.evaluation.views import make_views
from maskformer_jax.types import Predictions

CATEGORIES = (
    Category(name="cat", color=(200, 0, 0), is_thing=True),
    Category(name="sky", color=(0, 0, 200)),
)


class ColorModel(nn.Module):
    """Query i masks the pixels of channel i: two cats and a sky; the last query is unconfident."""

    def __call__(self, images: jax.Array, extent: jax.Array | None = None) -> Predictions:
        del extent  # every pixel counts for itself
        masks = jnp.where(images[:, ::4, ::4] > 127, 8.0, -5.0).transpose(0, 3, 1, 2)
        masks = jnp.concatenate([masks, masks[:, :1]], axis=1)
        probabilities = jnp.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05]])
        classes = jnp.log(jnp.concatenate([probabilities, jnp.full((1, 3), 1 / 3)]))
        batch = (len(images), *classes.shape)
        return Predictions(jnp.broadcast_to(classes, batch)[None], masks[None])


def example(name: str = "a", *, size: tuple[int, int] = (16, 32), flawed: bool = False) -> Any:
    """Two cats side by side, then sky; in the flawed annotation the cats are a single one."""
    owner = np.repeat(np.array([0, 1, 2, 2]), size[1] // 4)[None].repeat(size[0], axis=0)
    image = (255 * np.eye(3)[owner]).astype(np.uint8)
    if flawed:
        owner = np.where(owner == 1, 0, owner)
    id_map = (owner + 1).astype(np.int32)
    segments = tuple(
        PanopticSegment(i + 1, int(i == 2), False, int((owner == i).sum()))
        for i in np.unique(owner).tolist()
    )
    label_map = (owner == 2).astype(np.int32)
    return EvalExample(name, image, size, label_map, PanopticLabels(id_map, segments))


def listed(*examples: EvalExample) -> ExampleList:
    return ExampleList(examples)


def evaluator(task: str, batch_size: int = 2) -> Evaluator:
    config = Config(eval=EvalConfig(task=task, batch_size=batch_size, max_instances=5))
    config.model.size_divisibility = 0
    return Evaluator(ColorModel(), config, categories=CATEGORIES)


EVALUATORS = {task: evaluator(task) for task in MAIN_METRIC}


@pytest.mark.parametrize("task", MAIN_METRIC)
def test_correct_predictions_score_100(task: str) -> None:
    seen = {}
    metrics = EVALUATORS[task].evaluate(
        {},
        listed(example("a"), example("b", size=(12, 32)), example("c")),
        on_result=lambda example, outputs, _: seen.update({example.image_id: outputs}),
    )
    scores = metrics.compute()
    assert next(iter(scores)) == MAIN_METRIC[task]
    expected = {
        "semantic": ("mIoU", "pACC", "PQ_stuff"),
        "panoptic": ("PQ", "PQ_things", "PQ_stuff", "mIoU", "AP"),
        "instance": ("AP", "AP50"),
    }[task]
    assert {name: scores[name] for name in expected} == pytest.approx(dict.fromkeys(expected, 100))
    assert ("PQ" in scores) == (task == "panoptic")
    assert sorted(seen) == ["a", "b", "c"]
    assert "cat" in metrics.table()
    if task != "instance":
        np.testing.assert_array_equal(seen["b"].semantic, example(size=(12, 32)).label_map)


def test_general_inference_is_an_option() -> None:
    config = Config(eval=EvalConfig(semantic_rule="general", general_threshold=0.95))
    config.model.size_divisibility = 0
    nothing = Evaluator(ColorModel(), config, categories=CATEGORIES).evaluate({}, listed(example()))
    assert nothing.compute()["pACC"] == 0  # no query is selected, so no pixel has a label
    config.eval.general_threshold = 0.3
    found = Evaluator(ColorModel(), config, categories=CATEGORIES).evaluate({}, listed(example()))
    assert found.compute()["pACC"] == 100


def test_a_mistake_and_merging() -> None:
    parts = [
        EVALUATORS["panoptic"].evaluate({}, listed(one))
        for one in (example(), example(flawed=True))
    ]
    for part, pq_things in zip(parts, (100, 0), strict=True):
        assert part.compute()["PQ_things"] == pytest.approx(pq_things)
    merged = TaskMetrics("panoptic", CATEGORIES)
    for part in parts:
        merged.merge(part)
    together = EVALUATORS["panoptic"].evaluate({}, listed(example(), example(flawed=True)))
    assert merged.compute() == pytest.approx(together.compute(), nan_ok=True)
    # Two cats found, two wrong, one missed.
    assert merged.compute()["RQ_things"] == pytest.approx(100 * 2 / (2 + 2 / 2 + 1 / 2))


def test_a_batch_equals_its_images_one_by_one() -> None:
    images = [example().image, example().image[:, ::-1]]
    shape = ImageShape((16, 32), (20, 40))
    several = EVALUATORS["panoptic"]
    together = several.run({}, several.plan([shape] * 2).buckets[0], images, [(20, 40)] * 2)()
    alone = evaluator("panoptic", batch_size=1)
    for image, ours in zip(images, together, strict=True):
        one = alone.run({}, alone.plan([shape]).buckets[0], [image], [(20, 40)])()[0]
        for array, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(one), strict=True):
            # Sums of probabilities may be rounded in another order; all else is equal.
            rtol = 1e-6 if expected.dtype == np.float32 else 0
            np.testing.assert_allclose(array, expected, rtol=rtol)
        assert ours.panoptic.valid.sum() == 3


def test_a_missing_annotation_is_named() -> None:
    bare = example("street/7")._replace(panoptic=None, label_map=None)
    for task, what in (("semantic", "label map"), ("instance", "instance annotation")):
        with pytest.raises(UserError, match=f"'street/7' has no {what}, which eval.task='{task}'"):
            EVALUATORS[task].evaluate({}, listed(bare))
    with pytest.raises(UserError, match="no panoptic annotation"):
        EVALUATORS["panoptic"].evaluate({}, listed(example("x")._replace(panoptic=None)))


def test_views_start_from_the_resized_image_and_alternate() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    settings = TTAConfig(enabled=True, short_edges=(8, 16, 24), max_size=40)
    views = list(make_views(image, settings))
    assert [view.shape[:2] for view, _ in views] == [(8, 16)] * 2 + [(16, 32)] * 2 + [(20, 40)] * 2
    assert [mirrored for _, mirrored in views] == [False, True] * 3
    np.testing.assert_array_equal(views[2][0], image)
    np.testing.assert_array_equal(views[3][0], image[:, ::-1])
    settings.flip = False
    assert len(list(make_views(image, settings))) == 3


def test_augmented_metrics_are_reported_beside_the_plain_ones() -> None:
    augmented = evaluator("semantic", batch_size=1)
    augmented._config.eval.tta = TTAConfig(enabled=True, short_edges=(16, 32), max_size=100)
    metrics = augmented.evaluate({}, listed(example(), example(flawed=True)))
    scores = metrics.compute()
    assert scores["mIoU"] == scores["mIoU_tta"] == pytest.approx(100)
    assert "mIoU_tta" in metrics.table()
    merged = TaskMetrics("semantic", CATEGORIES, augmented=True)
    merged.merge(metrics)
    assert merged.compute() == scores


class OptimizedDevice(LocalDevices):
    """Compiles with vectorised sums, as users do; those of the tests' level lose more digits."""

    def spread(self, function, *, images=1):
        options = FUSED_AS_USERS_DO | {"xla_backend_optimization_level": 1}
        return jax.jit(function, compiler_options=options)


class Blocks:
    """Drawings of many sizes: grey noise between coloured blocks."""

    SIZES = ((16, 32), (12, 32), (32, 16), (20, 28), (9, 31), (16, 32))

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.images = []
        for height, width in self.SIZES:
            colors = 255 * np.eye(3)[random.integers(0, 3, (-(-height // 4), -(-width // 4)))]
            blocks = colors.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
            self.images.append(blocks.astype(np.uint8))
        self.shapes = [
            ImageShape(size, (2 * size[0] + i, size[1] + 3 * i))
            for i, size in enumerate(self.SIZES)
        ]

    def run(self, chosen: Sequence[int], *, batch_size: int, **settings: Any) -> dict[int, Outputs]:
        """The results of some images, segmented together, by their index."""
        config = Config(eval=EvalConfig(batch_size=batch_size, max_instances=5, **settings))
        config.model.size_divisibility = 0  # the model does not pad
        devices = OptimizedDevice()
        evaluator = Evaluator(ColorModel(), config, categories=CATEGORIES, devices=devices)
        plan = evaluator.plan([self.shapes[i] for i in chosen])
        results = {}
        for bucket, members in evaluator.batches(plan):
            indices = [chosen[member] for member in members]
            images = [self.images[i] for i in indices]
            sizes = [self.shapes[i].output_size for i in indices]
            results |= zip(indices, evaluator.run({}, bucket, images, sizes)(), strict=True)
        return results


@functools.cache
def exact_results() -> dict[int, Outputs]:
    """Each image alone, in the program for its very size."""
    return Blocks().run(range(6), batch_size=1, task="panoptic", shapes="exact")


@pytest.mark.parametrize(
    ("chosen", "batch_size", "max_programs"),
    [((0, 1, 2, 3, 4, 5), 2, 6), ((4, 2, 0), 3, 1), ((5, 1, 3, 0), 4, 2), ((3,), 2, 1)],
)
def test_batch_size_and_other_images_change_no_result(chosen, batch_size, max_programs) -> None:
    blocks = Blocks()
    expected = exact_results()
    results = blocks.run(chosen, batch_size=batch_size, task="panoptic", max_programs=max_programs)
    assert sorted(results) == sorted(chosen)
    for i, outputs in results.items():
        for array, wanted in zip(
            jax.tree.leaves(outputs), jax.tree.leaves(expected[i]), strict=True
        ):
            # Scores are means of probabilities, which may be summed in another order.
            rtol = 1e-6 if wanted.dtype == np.float32 else 0
            np.testing.assert_allclose(array, wanted, rtol=rtol)


@pytest.mark.parametrize("max_programs", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_views_share_few_programs_and_change_no_result(max_programs, compilations) -> None:
    blocks = Blocks()
    tta = TTAConfig(enabled=True, short_edges=(8, 16, 24), max_size=40)
    expected = blocks.run(range(6), batch_size=1, shapes="exact", tta=tta)
    before = len(compilations)
    results = blocks.run(range(6), batch_size=2, max_programs=max_programs, tta=tta)
    compiled = compilations[before:]
    # Half for the images and half for their views, but one of each at least.
    assert compiled.count("jit(inference)") <= max(max_programs // 2, 1)
    assert compiled.count("jit(network)") <= max(max_programs // 2, 1)
    for i, outputs in results.items():
        np.testing.assert_array_equal(outputs.semantic_tta, expected[i].semantic_tta)
        assert (outputs.semantic_tta != outputs.semantic).any()


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_processes_share_all_images_in_as_many_batches_each(processes: int) -> None:
    several = evaluator("semantic", batch_size=2)
    plan = several.plan(Blocks().shapes)
    shares = [
        several.batches(plan, process_index=i, process_count=processes) for i in range(processes)
    ]
    assert len({len(share) for share in shares}) == 1
    indices = [index for share in shares for batch in share for index in batch.indices]
    assert sorted(indices) == list(range(6))
    assert all(len(batch.indices) <= 2 for share in shares for batch in share)


def test_a_size_that_contradicts_its_header_is_named() -> None:
    examples = listed(example("street/7"))
    examples.shapes = [ImageShape((16, 40), (16, 40))]
    with pytest.raises(UserError, match=r"'street/7' is \(16, 32\) .* header .* \(16, 40\)"):
        EVALUATORS["semantic"].evaluate({}, examples)


def test_all_programs_are_compiled_before_the_first_image(compilations) -> None:
    seen = []
    several = evaluator("semantic", batch_size=1)
    several._config.eval.max_programs = 2
    wide, tall = [example("a")] * 8, [example("b", size=(32, 16))] * 8
    examples = listed(*wide, *tall, example("c", size=(30, 16)))
    several.evaluate({}, examples, on_result=lambda *_: seen.append(len(compilations)))
    assert seen == [len(compilations)] * 17
    assert compilations.count("jit(inference)") == 2


@pytest.mark.parametrize(("cached", "compiled"), [(True, 1), (False, 3)])
def test_the_first_program_is_enough_to_begin(
    cached: bool, compiled: int, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others follow at once where there is no cache to take them from."""

    def wait(futures: list[Future], timeout: float) -> Any:
        assert timeout == programs.CACHE_SECONDS
        assert len(futures) == 1
        return SimpleNamespace(not_done=set() if cached else set(futures))

    monkeypatch.setattr(programs, "wait", wait)
    blocks = Blocks()
    several = evaluator("semantic", batch_size=1)
    shapes = [blocks.shapes[i] for i in (0, 2, 3)]
    buckets = [several.plan([shape]).buckets[0] for shape in shapes]
    several.compile_first({}, buckets)
    # Whoever uses a program waits for it.
    results = [
        several.run({}, bucket, [blocks.images[i]], [shape.output_size])()[0]
        for bucket, shape, i in zip(buckets[:compiled], shapes, (0, 2, 3), strict=False)
    ]
    assert compilations.count("jit(inference)") == compiled
    assert [one.semantic.shape for one in results] == [s.output_size for s in shapes[:compiled]]
    several.run({}, buckets[2], [blocks.images[3]], [shapes[2].output_size])()
    assert compilations.count("jit(inference)") == (2 if compiled == 1 else 3)
    several.compile_first({}, buckets)  # the first is there, so the others start at once
    assert len(several._programs._compiled) == 3
    several.run({}, buckets[1], [blocks.images[2]], [shapes[1].output_size])()
    assert compilations.count("jit(inference)") == 3
