"""Segmenting images of one size as they come, such as the frames of a video."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskformer_jax.config import EvalConfig
from maskformer_jax.data.eval_examples import ImageShape, eval_size, resize_for_eval
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.runner import Evaluator

Frame = UInt8[np.ndarray, "_ _ 3"]


def segment_frames(
    evaluator: Evaluator, variables: Any, frames: Iterable[Frame], settings: EvalConfig
) -> Iterator[tuple[Frame, Outputs]]:
    """Yield each frame and its results, in order.

    The device works on one batch while the one before is handed out.

    Args:
        evaluator: runs the model.
        variables: of the model.
        frames: RGB, all of one size.
        settings: of the model's recipe.

    Raises:
        UserError: a frame has another size than the first.
    """
    iterator = iter(frames)
    waiting: tuple[list[Frame], Callable[[], list[Outputs]]] | None = None
    bucket, size = None, (0, 0)
    while group := list(islice(iterator, settings.batch_size)):
        if bucket is None:
            size = group[0].shape[:2]
            (bucket,) = evaluator.plan([ImageShape(eval_size(size, settings), size)]).buckets
        for frame in group:
            if frame.shape[:2] != size:
                raise UserError(f"a frame is {frame.shape[:2]}, but the first was {size}")
        resized = [resize_for_eval(frame, settings) for frame in group]
        started = (group, evaluator.run(variables, bucket, resized, [size] * len(group)))
        if waiting is not None:
            yield from zip(waiting[0], waiting[1](), strict=True)
        waiting = started
    if waiting is not None:
        yield from zip(waiting[0], waiting[1](), strict=True)
