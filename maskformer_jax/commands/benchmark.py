"""`benchmark`: how fast models run on this machine, alone or beside PyTorch."""

import importlib.util
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.benchmark.case import MEANINGS, PEER_CAN, Case, Side
from maskformer_jax.commands.parser import CommandParser, read_config, user_path
from maskformer_jax.errors import UserError

DEFAULT_MODELS = (
    "ade20k-150/maskformer_R50_bs16_160k,ade20k-150/swin/maskformer_swin_tiny_bs16_160k"
)
SUMMARY = (
    "Measure how fast models run on this machine, on noise images with random weights: no data is "
    "needed. Each measurement has a process of its own; those that are compared take turns, and "
    "one round is run before those that count. --config takes several names with commas between; "
    "by default R50 and Swin-T of ADE20K."
)


def run(argv: Sequence[str]) -> None:
    """Measure and print a table.

    Raises:
        UserError: a config is wrong, what is to be compared with is missing, or a measurement
            fails.
    """
    parser = CommandParser("benchmark", SUMMARY, config="optional")
    parser.set_defaults(config=DEFAULT_MODELS)
    parser.add_argument(
        "--what",
        default="infer,train",
        metavar="A,B",
        help="; ".join(f"{name}: {meaning}" for name, meaning in MEANINGS.items())
        + "; default: infer,train",
    )
    parser.add_argument("--batch", default="1", metavar="N,M", help="batch sizes; default: 1")
    parser.add_argument(
        "--train-batch", type=int, default=2, metavar="N", help="of training steps; default: 2"
    )
    parser.add_argument("--size", default="512x512", metavar="HxW", help="of the images")
    parser.add_argument(
        "--precision", default="float32", metavar="A,B", help="float32, bfloat16 or both"
    )
    parser.add_argument("--segments", type=int, default=10, help="in each training image")
    parser.add_argument("--rounds", type=int, default=7, help="that count; default: 7")
    parser.add_argument(
        "--against",
        choices=("transformers",),
        help="measure its MaskFormer in PyTorch, too, with the same weights (extra `parity`)",
    )
    parser.add_argument(
        "--peer", default="eager,compile", metavar="A,B", help="how PyTorch runs; default: both"
    )
    parser.add_argument(
        "--json", type=user_path, metavar="FILE", help="also write all figures there"
    )
    arguments, overrides = parser.read(argv)
    whats = _choices(parser, "--what", arguments.what, tuple(MEANINGS))
    precisions = _choices(parser, "--precision", arguments.precision, ("float32", "bfloat16"))
    peers = _choices(parser, "--peer", arguments.peer, ("eager", "compile"))
    size = re.fullmatch(r"(\d+)x(\d+)", arguments.size)
    if not size or not re.fullmatch(r"\d+(,\d+)*", arguments.batch) or arguments.rounds < 1:
        parser.error("--size is HxW, --batch numbers with commas between, --rounds 1 or more")
    if arguments.against:
        _require_peer()

    from maskformer_jax.benchmark.report import record, table
    from maskformer_jax.benchmark.rounds import measure

    results = []
    for name in arguments.config.split(","):
        read_config(name, overrides)
        with tempfile.TemporaryDirectory() as folder:
            weights = _export(name, overrides, Path(folder)) if arguments.against else ""
            sides: list[Side] = ["ours", *(peers if arguments.against else [])]
            for what in whats:
                batches = [arguments.train_batch]
                if what != "train":
                    batches = [int(n) for n in arguments.batch.split(",")]
                for batch in batches:
                    for precision in precisions:
                        dtype = f"model.compute_dtype={precision}"
                        cases = [
                            Case(
                                side,
                                name,
                                (*overrides, dtype),
                                what,
                                batch,
                                (int(size[1]), int(size[2])),
                                arguments.segments,
                                weights,
                            )
                            for side in sides
                            if side == "ours" or what in PEER_CAN
                        ]
                        results += measure(cases, rounds=arguments.rounds)
                        print(f"measured: {name}, {what}, {precision}, {batch}", flush=True)
    print(table(results))
    if arguments.json:
        text = json.dumps([record(one) for one in results], indent=1)
        write_atomically(arguments.json, text + "\n")


def _choices(parser: CommandParser, flag: str, text: str, known: Sequence[str]) -> list:
    chosen = text.split(",")
    for one in chosen:
        if one not in known:
            parser.error(f"{flag} is {one!r}, but must be one or several of {', '.join(known)}")
    return chosen


def _require_peer() -> None:
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"--against=transformers needs {package}: pip install 'maskformer-jax[parity]'"
            )


def _export(name: str, overrides: Sequence[str], folder: Path) -> str:
    """Draw weights and write them as the peer reads them."""
    import jax
    import numpy as np

    from maskformer_jax.checkpoints.export import write_huggingface
    from maskformer_jax.data.registry import load_dataset_info
    from maskformer_jax.models.build import build_model

    config = read_config(name, overrides)
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    with jax.default_device(jax.devices("cpu")[0]):
        variables = model.init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.uint8))
    names = [category.name for category in info.categories]
    write_huggingface(variables, config, folder / "peer", label_names=names)
    return str(folder / "peer")
