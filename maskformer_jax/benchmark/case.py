"""What is measured, and what a measurement gives."""

from typing import Any, Literal, NamedTuple

What = Literal["infer", "predict", "eval", "train"]
Side = Literal["ours", "eager", "compile"]

MEANINGS = {
    "infer": "the network on a batch that is on the device",
    "predict": "one image from the host to its segmentation on the host",
    "eval": "a batch of images from the host to their results on the host, as `eval` runs them",
    "train": "a training step",
}
PEER_CAN: tuple[What, ...] = ("infer", "predict", "train")


class Case(NamedTuple):
    """One thing to measure, as plain types, since a process of its own measures it."""

    side: Side
    config: str  # a name or a file
    overrides: tuple[str, ...]  # A.B=VALUE
    what: What
    batch: int
    size: tuple[int, int]  # of the images
    segments: int  # in each image
    weights: str  # a Hugging Face folder; empty: draw them


class Prepared(NamedTuple):
    """What is known before the first round."""

    device: str
    parameters: int  # trained ones
    cold_s: float | None  # to compile; None: nothing is compiled, or only at the first call
    cached_s: float | None  # to compile again, out of the cache on disk
    flops: float | None  # of one run, according to the compiler
    versions: dict[str, str]


class Measured(NamedTuple):
    """All rounds of a case."""

    case: Case
    prepared: Prepared
    milliseconds: list[float]
    first_ms: float  # the first call, before any round
    peak_bytes: int | None  # on the device; on a CPU the most that the process held in a round
    extra: dict[str, Any]  # such as the share of the matcher
