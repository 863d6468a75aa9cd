#!/usr/bin/env bash
# What this project wants to know of a GPU, in at most eight minutes, without a network:
#   bash benchmarks/accelerator_pack.sh                               # before, where there is one
#   bash benchmarks/accelerator.sh [FOLDER] [MINUTES] [OPTION...]     # on the machine
# Golden numbers, speed beside PyTorch, both matchers, evaluation and a minute of training, most
# telling first; FOLDER/accelerator.jsonl has a line for each as soon as it is measured. --tiny runs
# everything at a size for a CPU, --only=NAME what begins so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-.accelerator/out}
minutes=${2:-8}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G '.accelerator/wheels/*.whl' > /dev/null; then
  python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
    --target "$site" .accelerator/wheels/*.whl
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
nvidia-smi --list-gpus 2> /dev/null || true
python3 -m benchmarks.accelerator --out="$folder" --minutes="$minutes" "${@:3}"
