"""How far a model is from the published code's numbers on this machine's device.

    python -m benchmarks.golden_on_device maskformer_R50 [--out=FILE]

Largest difference relative to the largest logit, for each precision of products, of the images A
and B of tests/golden; the numbers are those of the published code in float64.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

import maskformer_jax as mf

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
PRECISIONS = ("highest", "high", "default")


def main() -> None:
    """Compare and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a file of tests/golden, such as maskformer_swin_tiny")
    parser.add_argument("--out", type=Path, help="also write the object there")
    arguments = parser.parse_args()
    found = json.dumps(compare(arguments.model), indent=1)
    print(found)
    if arguments.out:
        arguments.out.write_text(found)


def compare(model: str) -> dict[str, Any]:
    """Largest relative differences of class and mask logits, by precision."""
    sys.path.insert(0, str(GOLDEN))
    import golden_weights

    data = np.load(GOLDEN / f"{model}.npz")
    meta = json.loads(str(data["meta"]))
    name = meta["config"].removesuffix(".yaml")
    shapes = golden_weights.config_shapes(name, str(GOLDEN / "checkpoint_shapes.json"))
    weights = golden_weights.state_dict(shapes, meta["seed"])
    with tempfile.TemporaryDirectory() as folder:
        golden_weights.write_pkl(f"{folder}/model.pkl", weights, old_names=True)
        loaded = mf.load_pretrained(f"{folder}/model.pkl", name=name)
    found: dict[str, Any] = {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    for precision in PRECISIONS:
        worst = {"class": 0.0, "mask": 0.0}
        with jax.default_matmul_precision(precision):
            apply = jax.jit(loaded.model.apply)
            for key in ("A", "B"):
                ours = apply(loaded.variables, data[f"{key}/image"][None])
                pairs = (
                    ("class", ours.class_logits, "pred_logits"),
                    ("mask", ours.mask_logits, "pred_masks"),
                )
                for kind, logits, stored in pairs:
                    wanted, every = read_part(data, f"{key}/{stored}")
                    got = np.asarray(logits[-1, 0, ::every], np.float64)
                    difference = np.abs(got - wanted).max()
                    share = float(difference / np.abs(wanted).max())
                    worst[kind] = max(worst[kind], share)
        found[precision] = worst
    return found


def read_part(data: Any, key: str) -> tuple[np.ndarray, int]:
    """An array, of which "KEY[::4]" holds every fourth row, and that number."""
    stored = next(k for k in data if re.fullmatch(re.escape(key) + r"(\[::\d+\])?", k))
    every = re.search(r"::(\d+)", stored)
    return data[stored], int(every[1]) if every else 1


if __name__ == "__main__":
    main()
