"""Running a model over images for the page about its queries."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import eval_examples
from maskformer_jax.data.images import load_image
from maskformer_jax.data.transforms import resize_image
from maskformer_jax.inspection.queries.one_image import ImageQueries, QueryInspector
from maskformer_jax.inspection.queries.statistics import QueryStatistics, count_uses
from maskformer_jax.prediction.inputs import find_images
from maskformer_jax.pretrained import Loaded
from maskformer_jax.progress import Progress

_GOLDEN_RATIO = 0.618034

Named = tuple[str, np.ndarray]  # an image's name and pixels, RGB uint8 [H, W, 3]


def collect(
    loaded: Loaded, images: Sequence[Named] | Iterable[Named], *, shown: int
) -> tuple[QueryStatistics, list[tuple[str, np.ndarray, ImageQueries]]]:
    """The statistics of images, and name, pixels and queries of the first few.

    Args:
        loaded: a MaskFormer.
        images: by name.
        shown: how many of them are handed out.

    Raises:
        UserError: the model has no queries, or an image cannot be read.
    """
    inspector = QueryInspector(loaded)
    examples: list[tuple[str, np.ndarray, ImageQueries]] = []

    def inspected() -> Iterator[ImageQueries]:
        with Progress(0, description="queries", unit="image") as progress:
            for name, image in images:
                queries = inspector.inspect(image)
                if len(examples) < shown:
                    examples.append((name, image, queries))
                progress.update()
                yield queries

    return count_uses(inspected()), examples


def split_to_read(config: Config, *, most: int) -> Iterator[Named]:
    """Images from all over the evaluation split."""
    examples = eval_examples(config)
    for example in examples.read(spread(len(examples))[:most]):
        yield example.image_id, resize_image(example.image, example.original_size)


def files_to_read(paths: Sequence[Path], output: Path, *, most: int) -> Iterator[Named]:
    """Image files from all over the paths."""
    found = find_images(paths, output=output)
    for index in spread(len(found))[:most]:
        file, name = found[index]
        yield str(name), load_image(file)


def spread(number: int) -> list[int]:
    """All of 0..number-1, in an order of which every beginning is spread over all of them.

    Neighbours, such as the frames of a video, look alike.
    """
    places = np.arange(number) * _GOLDEN_RATIO % 1
    return np.argsort(np.argsort(places, kind="stable"), kind="stable").tolist()
