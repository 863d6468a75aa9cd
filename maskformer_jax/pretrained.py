"""Loading checkpoints of any kind, ready to use."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import UInt8

from maskformer_jax.categories import Category, DatasetInfo
from maskformer_jax.checkpoints.load import find_config, find_label_names, read_variables
from maskformer_jax.checkpoints.workdir import read_classes
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.data.class_names import describe_other_classes
from maskformer_jax.data.eval_examples import ImageShape, eval_size, resize_for_eval
from maskformer_jax.data.images import load_image, read_image_size
from maskformer_jax.data.label_names import names_match
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.frames import segment_frames
from maskformer_jax.evaluation.result import Result, to_result
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.models.build import build_model
from maskformer_jax.types import Size

T = TypeVar("T")
PREDICTION_PROGRAMS = 4  # for many images at once, of which there are seldom enough for more


@dataclass(kw_only=True)
class Loaded:
    """A model with its variables, its recipe and its categories.

    `config.eval` has the size of test images and the thresholds; `config.model` has the mean,
    standard deviation and padding, which the model applies itself.
    """

    model: nn.Module
    variables: Any  # {"params": ..., "constants": ...}, on the default device
    config: Config
    categories: tuple[Category, ...]  # names, colours, things or stuff, the data set's ids

    @property
    def palette(self) -> UInt8[np.ndarray, "k 3"]:
        """The RGB colour of each class; `palette[result.semantic]` is a picture."""
        return np.array([category.color for category in self.categories], np.uint8)

    def predict(self, image: Any) -> Result:
        """Segment one image: resize, pad, run the model, post-process.

        Images of similar sizes share a compiled program; see `config.eval.shapes`.

        Args:
            image: RGB uint8 [H, W, 3], or the path of an image file.

        Raises:
            UserError: the file cannot be read, or the array is not such an image.
        """
        pixels = _read(image)
        size = _size(pixels)
        run = self._evaluator.run(
            self.variables,
            self._evaluator.bucket_for(self._shape(size)),
            [resize_for_eval(pixels, self.config.eval)],
            [size],
        )
        return to_result(run()[0])

    def predict_adjustable(self, image: Any) -> Callable[[float, float], Result]:
        """Run the network on one image, and leave the thresholds of panoptic segments open.

        Args:
            image: as `predict` takes it.

        Returns:
            A function from `object_mask_threshold` and `overlap_threshold`, 0..1, to the result. It
            post-processes alone, and with the thresholds of `config.eval` it gives what `predict`
            gives. Results of other tasks do not depend on them.

        Raises:
            UserError: the file cannot be read, or the array is not such an image.
        """
        pixels = _read(image)
        size = _size(pixels)
        bucket = self._evaluator.bucket_for(self._shape(size))._replace(views=())
        resized = resize_for_eval(pixels, self.config.eval)
        adjust = self._evaluator.run_adjustable(self.variables, bucket, resized, size)
        return lambda object_mask, overlap: to_result(adjust(object_mask, overlap))

    def predict_batch(self, images: Sequence[Any]) -> list[Result]:
        """Segment many images, `config.eval.batch_size` at a time, in a few compiled programs.

        Args:
            images: as `predict` takes them.

        Returns:
            The results in the order of the images, each as `predict` gives it.

        Raises:
            UserError: a file cannot be read, or an array is not such an image.
        """
        results = {index: result for index, _, result in self.predict_images(images)}
        return [results[index] for index in range(len(images))]

    def predict_images(
        self,
        images: Sequence[Any],
        *,
        on_error: Callable[[int, UserError], None] | None = None,
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "_ _ 3"], Result]]:
        """Segment many images and yield each with its index and its result, in any order.

        The sizes are read first, from the headers of files, and programs are compiled side by
        side; images come as soon as there is the first.

        Args:
            images: as `predict` takes them.
            on_error: called with the index and the error of an image that cannot be read, which is
                then left out; by default the error is raised.

        Raises:
            UserError: a file cannot be read, or an array is not such an image.
        """

        def attempt(index: int, read: Callable[[Any], T]) -> T | None:
            try:
                return read(images[index])
            except UserError as error:
                if on_error is None:
                    raise
                on_error(index, error)
                return None

        found = {index: attempt(index, _read_size) for index in range(len(images))}
        sizes = {index: size for index, size in found.items() if size is not None}
        if not sizes:
            return
        readable, evaluator = list(sizes), self._evaluator
        shapes = [self._shape(sizes[index]) for index in readable]
        plan = evaluator.plan(shapes, most=PREDICTION_PROGRAMS)
        evaluator.compile_first(self.variables, plan.buckets)
        for bucket, members in evaluator.batches(plan):
            indices = [readable[member] for member in members]
            pixels = {
                index: one
                for index in indices
                if (one := attempt(index, partial(_read_sized, size=sizes[index]))) is not None
            }
            if not pixels:
                continue
            resized = [resize_for_eval(one, self.config.eval) for one in pixels.values()]
            output_sizes = [_size(one) for one in pixels.values()]
            run = evaluator.run(self.variables, bucket, resized, output_sizes)
            for (index, one), outputs in zip(pixels.items(), run(), strict=True):
                yield index, one, to_result(outputs)

    def predict_frames(
        self, frames: Iterable[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Iterator[tuple[UInt8[np.ndarray, "_ _ 3"], Result]]:
        """Segment images of one size as they come, and yield each with its result, in order.

        `config.eval.batch_size` are in memory at a time, and as many that wait for the device.

        Args:
            frames: RGB uint8 [H, W, 3], for example those of a video.

        Raises:
            UserError: a frame is no such image, or has another size than the first.
        """
        images = (_read(frame) for frame in frames)
        for image, outputs in segment_frames(
            self._evaluator, self.variables, images, self.config.eval
        ):
            yield image, to_result(outputs)

    def _shape(self, size: Size) -> ImageShape:
        return ImageShape(eval_size(size, self.config.eval), size)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.model, self.config, categories=self.categories)


def _read(image: Any) -> UInt8[np.ndarray, "h w 3"]:
    if isinstance(image, str | Path):
        image = load_image(Path(image).expanduser())
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(
            f"an image should be uint8 [H, W, 3], RGB, not {image.dtype} {list(image.shape)}"
        )
    return image


def _read_sized(image: Any, *, size: Size) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image whose header gave a size."""
    pixels = _read(image)
    if _size(pixels) != size:
        raise UserError(f"{image} is {_size(pixels)} (height, width), but its header says {size}")
    return pixels


def _read_size(image: Any) -> Size:
    if isinstance(image, str | Path):
        return read_image_size(Path(image).expanduser(), name=str(image))
    return _size(_read(image))


def _size(image: UInt8[np.ndarray, "h w 3"]) -> Size:
    height, width = image.shape[:2]
    return height, width


def load_pretrained(
    path: str | Path, name: str | None = None, config: Config | None = None
) -> Loaded:
    """Load a checkpoint.

    Args:
        path: a workdir or one checkpoint in it, a published `.pkl` (or its tensors in a `.pth`,
            `.safetensors` or `.npz`), or a Hugging Face folder.
        name: the recipe of the checkpoint, one of `list_models()`.
        config: the recipe itself, instead of `name`. Workdirs and Hugging Face folders need
            neither.

    Raises:
        UserError: there is no checkpoint, it is damaged, or it does not fit the recipe: the message
            lists all tensors that are missing, unexpected or of a wrong shape. Or its classes are
            not those of the recipe, and `data.allow_other_classes` is not set.
    """
    path = Path(path).expanduser()
    if name is not None and config is not None:
        raise UserError("load_pretrained takes a name or a config, not both")
    if name is not None:
        config = load_config(name)
    elif config is None:
        config = find_config(path)
    info = load_dataset_info(config.data.dataset)
    categories = _find_categories(path, info, allow_other=config.data.allow_other_classes)
    model = build_model(config.model, num_classes=info.num_classes)
    template = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3), jnp.uint8))
    variables = read_variables(path, template, config.model)
    return Loaded(model=model, variables=variables, config=config, categories=categories)


def _find_categories(path: Path, info: DatasetInfo, *, allow_other: bool) -> tuple[Category, ...]:
    """The classes of a checkpoint, where it has some of its own, else those of the config.

    Raises:
        UserError: the two differ, and `data.allow_other_classes` is not set.
    """
    known, names = read_classes(path), find_label_names(path)
    if names is not None and len(names) != info.num_classes:
        raise UserError(
            f"{path} names {len(names)} classes, but the data set of the config has "
            f"{info.num_classes}"
        )
    if known is not None:
        other = describe_other_classes(known.categories, info.categories)
    elif names is not None and not names_match(names, info):
        renamed = tuple(Category(name=name, color=(0, 0, 0)) for name in names)
        other = describe_other_classes(renamed, info.categories, kinds=False)
    else:
        other = ""
    if other and not allow_other:
        raise UserError(
            f"{path} has other classes than the data set of the config, '{info.name}': {other}. "
            "Choose the data set of the checkpoint, or set config.data.allow_other_classes=True"
        )
    if known is not None and not other:
        return known.categories
    if names is None:
        return info.categories
    return tuple(
        dataclasses.replace(category, name=name)
        for category, name in zip(info.categories, names, strict=True)
    )
