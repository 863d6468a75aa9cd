"""Evaluate: `python eval.py --config=CONFIG --checkpoint=PATH [--output=DIR]`."""

import sys

from maskformer_jax.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(["eval", *sys.argv[1:]]))
