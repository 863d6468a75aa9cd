#!/usr/bin/env bash
# From a fresh clone to a trained model: draws a small data set, trains on it for some minutes (a
# laptop's CPU is enough), scores the result and paints it over images not trained on.
# Started again, it goes on where it was.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/environment.sh

config=configs/shapes/maskformer_R18.py
data=datasets/shapes
run=runs/shapes

make_environment .venv -r requirements.txt
python=.venv/bin/python

if [ ! -e "$data" ]; then
  echo "== drawing the data set"
  "$python" -m maskformer_jax prepare shapes --root="$data"
fi
echo "== training"
"$python" train.py --config="$config" --workdir="$run" --config.data.root="$data" "$@"
echo "== scoring"
"$python" eval.py --config="$config" --checkpoint="$run" --output="$run/eval" --config.data.root="$data"
echo "== segmenting four images that were not trained on"
"$python" - "$run/images" << 'PYTHON'
import sys
from pathlib import Path

from PIL import Image

from maskformer_jax.data.shapes import draw_example

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for index in range(4):
    Image.fromarray(draw_example("val", index).image).save(folder / f"val_{index}.png")
PYTHON
"$python" -m maskformer_jax predict "$run/images" --checkpoint="$run" --output="$run/pictures"

cat << TEXT

Done.
  losses and scores   $run/metrics.jsonl (and TensorBoard: tensorboard --logdir=$run)
  scores              $run/eval/metrics.json
  report page         $run/report.html (open it in a browser)
  overlay pictures    $run/pictures
  checkpoints         $run/checkpoints
TEXT
