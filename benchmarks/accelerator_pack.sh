#!/usr/bin/env bash
# Fetches the wheels that a bare GPU machine lacks (about 15 MB) into .accelerator/, for
# benchmarks/accelerator.sh. Taken for granted there: Python (PYTHON=3.12 by default) with jax and
# its CUDA plugin, flax, optax, orbax-checkpoint, scipy, OpenCV and, to compare with, torch and
# transformers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-3.12}
folder=.accelerator/wheels
mkdir -p "$folder"
rm -f "$folder"/*.whl
fetch() {
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version "$python" \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_24_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --dest "$folder" "$@"
}
fetch annotated-types array_record dm-tree docstring-parser googleapis-common-protos grain \
  immutabledict importlib_resources jaxtyping wadler-lindig pycocotools safetensors simple-parsing \
  tabulate tensorboardX tensorflow-datasets tensorflow-metadata termcolor toml tqdm \
  typing-extensions typing-inspection zipp 'pydantic<3'
wanted=$(unzip -p "$folder"/pydantic-2*.whl '*/METADATA' |
  sed -n 's/^Requires-Dist: \(pydantic-core==[0-9.]*\).*/\1/p')
fetch "$wanted"
python3 -m pip wheel --quiet --no-deps --wheel-dir "$folder" promise # it has no wheel of its own
du -sh .accelerator
