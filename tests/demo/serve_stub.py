"""Serves the demo with a model that knows its answer: `python serve_stub.py` prints the port."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import uvicorn

from maskformer_jax.categories import Category
from maskformer_jax.demo.segmented import SegmentedImages
from maskformer_jax.demo.server import make_app
from maskformer_jax.demo.uploads import Limits
from maskformer_jax.evaluation.result import FoundInstance, Result, Segment

CATEGORIES = (
    Category(name="cat", color=(200, 30, 30), is_thing=True, category_id=17),
    Category(name="<b>sky</b>", color=(30, 30, 200), category_id=187),
)
LIMITS = Limits(megabytes=12.0, megapixels=30.0, side=600)


class Halves:
    """A cat of probability 0.9 in the left half of every image, the sky of 0.6 in the right one."""

    categories = CATEGORIES

    def __init__(self) -> None:
        self.runs = 0

    def predict_adjustable(self, image: Any) -> Callable[[float, float], Result]:
        """Count a run of the network."""
        self.runs += 1
        height, width = image.shape[:2]
        right = np.tile(np.arange(width) >= width // 2, (height, 1))

        def adjust(object_mask: float, overlap: float) -> Result:
            id_map, segments = np.zeros((height, width), np.int32), []
            for label, score in enumerate((0.9, 0.6)):
                if score > object_mask:
                    id_map[right == label] = len(segments) + 1
                    area = int((right == label).sum())
                    segments.append(Segment(len(segments) + 1, label, label == 0, score, area))
            cat = FoundInstance(0, 0.7, ~right)
            return Result(
                semantic=right.astype(np.int32),
                panoptic=id_map,
                segments=tuple(segments),
                instances=(cat,),
            )

        return adjust


def make_stub_app(model: Halves) -> Any:
    """The application with this model, and limits that tests can reach."""
    return make_app(
        SegmentedImages(model, most=3),
        title="halves",
        defaults={"object_mask": 0.5, "overlap": 0.5, "score": 0.5},
        limits=LIMITS,
        hosts=["127.0.0.1"],
    )


def main() -> None:
    """Serve until killed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        print(listener.getsockname()[1], flush=True)
        app = make_stub_app(Halves())
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", limit_concurrency=256))
        asyncio.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
