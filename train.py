"""Train a model: `python train.py --config=CONFIG --workdir=DIR [--config.A.B=VALUE ...]`."""

import sys

from maskformer_jax.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
