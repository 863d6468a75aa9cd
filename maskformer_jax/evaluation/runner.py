"""From a model and a data set to the numbers that papers print."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Int

from maskformer_jax.config import Config, Size
from maskformer_jax.data.pipeline import EvalExample
from maskformer_jax.evaluation.semantic import SemanticMetric
from maskformer_jax.postprocess import per_pixel_inference, semantic_inference
from maskformer_jax.progress import Progress
from maskformer_jax.resize import padded_size


class EvalGroup(NamedTuple):
    """Examples that go through the network together: same input size, same output size."""

    examples: list[EvalExample]
    images: np.ndarray  # uint8 [B, H, W, 3], filled up with zeros to the full batch size
    output_size: Size


class Evaluator:
    """Runs a model on examples; compiles once for each combination of input and output size.

    Args:
        model: A MaskFormer or a per-pixel baseline.
        config: Its recipe (`eval` and `model.size_divisibility` are used).
        num_classes: K.
    """

    def __init__(self, model: nn.Module, config: Config, *, num_classes: int) -> None:
        self._model = model
        self._config = config
        self._num_classes = num_classes
        self._predict = lru_cache(maxsize=None)(self._compile)

    def predict_labels(self, variables: Any, group: EvalGroup) -> np.ndarray:
        """The most likely class of every pixel, int32 [B, Ho, Wo] at the output size."""
        predict = self._predict(group.images.shape[1:3], group.output_size)
        return np.asarray(predict(variables, group.images))

    def semantic(
        self,
        variables: Any,
        examples: Iterable[EvalExample],
        *,
        total: int | None = None,
        on_result: Callable[[EvalExample, np.ndarray], None] | None = None,
    ) -> SemanticMetric:
        """Accumulates the confusion matrix over all examples.

        Args:
            variables: Of the model.
            examples: With labels at original size.
            total: Their number, for the progress line.
            on_result: Called with each example and its label map [Ho, Wo].
        """
        metric = SemanticMetric(self._num_classes)
        with Progress(total, description="evaluate", unit="image") as progress:
            for group in group_examples(examples, self._config.eval.batch_size):
                labels = self.predict_labels(variables, group)
                for example, prediction in zip(group.examples, labels, strict=False):
                    metric.add(prediction, example.label_map)
                    if on_result is not None:
                        on_result(example, prediction)
                progress.update(len(group.examples))
        return metric

    def _compile(self, image_size: Size, output_size: Size) -> Callable[[Any, Any], Any]:
        def infer(class_logits: Array | None, mask_logits: Array) -> Array:
            if class_logits is None:
                return per_pixel_inference(
                    mask_logits, image_size=image_size, output_size=output_size
                )
            return semantic_inference(
                class_logits,
                mask_logits,
                padded_size=padded_size(image_size, self._config.model.size_divisibility),
                image_size=image_size,
                output_size=output_size,
                resize_before_inference=self._config.eval.resize_before_inference,
            )

        @jax.jit
        def predict(variables: Any, images: Array) -> Int[Array, "b h w"]:
            predictions: Any = self._model.apply(variables, images)
            # One image at a time: K score maps at full size are large, the label map is not.
            return jax.lax.map(
                lambda one: jnp.argmax(infer(*one), axis=0).astype(jnp.int32),
                jax.tree.map(lambda x: x[-1], predictions),  # the last layer
            )

        return predict


def group_examples(examples: Iterable[EvalExample], batch_size: int) -> Iterator[EvalGroup]:
    """Collects examples of equal sizes into full batches; leftovers come at the end, filled up."""
    waiting: dict[tuple[Size, Size], list[EvalExample]] = {}
    for example in examples:
        key = (example.image.shape[:2], example.original_size)
        waiting.setdefault(key, []).append(example)
        if len(waiting[key]) == batch_size:
            yield _stack(waiting.pop(key), batch_size)
    for rest in waiting.values():
        yield _stack(rest, batch_size)


def _stack(examples: list[EvalExample], batch_size: int) -> EvalGroup:
    images = np.zeros((batch_size, *examples[0].image.shape), np.uint8)
    for slot, example in zip(images, examples, strict=False):
        slot[...] = example.image
    return EvalGroup(examples, images, examples[0].original_size)
