"""What each query specialises in, over the images of a data set."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int64

from maskformer_jax.inspection.queries.one_image import ImageQueries

GRID = 16  # cells of a map of places, in each direction
LEAST_PROBABILITY = 0.5  # of its class, for a query to count as used


class QueryStatistics(NamedTuple):
    """Counts over images, of the last decoder layer.

    A query is used in an image if a class other than no-object has a probability of at least 0.5.
    """

    images: int
    counts: Int64[np.ndarray, "q k"]  # images in which a query is used for a class
    places: Float[np.ndarray, "q 16 16"]  # mean mask probability where used; 0 for unused queries
    areas: Float[np.ndarray, " q"]  # mean share of the image that the mask covers, 0..1

    @property
    def uses(self) -> Int64[np.ndarray, " q"]:
        """Images in which each query is used."""
        return self.counts.sum(axis=1)


def count_uses(images: Iterable[ImageQueries]) -> QueryStatistics:
    """Collect the statistics of images.

    Raises:
        ValueError: there are none.
    """
    number = 0
    for one in images:
        classes = one.class_probabilities[-1, :, :-1]
        masks = one.mask_probabilities[-1]
        if not number:
            queries, num_classes = classes.shape
            counts = np.zeros((queries, num_classes), np.int64)
            places = np.zeros((queries, GRID, GRID))
            areas = np.zeros(queries)
        number += 1
        label, used = classes.argmax(axis=1), classes.max(axis=1) >= LEAST_PROBABILITY
        for query in np.flatnonzero(used).tolist():
            counts[query, label[query]] += 1
            # Each cell is the mean over its pixels.
            small = cv2.resize(masks[query], (GRID, GRID), interpolation=cv2.INTER_AREA)
            places[query] += small
            areas[query] += float((masks[query] >= 0.5).mean())
    if not number:
        raise ValueError("there are no images")
    uses = np.maximum(counts.sum(axis=1), 1)
    return QueryStatistics(number, counts, places / uses[:, None, None], areas / uses)
