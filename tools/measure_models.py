"""Recompute the sizes and costs in maskformer_jax/zoo/model_zoo.json; other entries are kept.

    python -m tools.measure_models

Run it after changing the model of a recipe or adding a recipe. It takes about a second per recipe.
"""

import json
from pathlib import Path

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.config.io import list_config_names, load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.zoo.cost import measure_cost
from maskformer_jax.zoo.records import FILE_NAME

FILE = Path(__file__).parent.parent / "maskformer_jax" / "zoo" / FILE_NAME


def main() -> None:
    """Rewrite the file, one line per recipe."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    lines = []
    for name in list_config_names():
        config = load_config(name)
        num_classes = load_dataset_info(config.data.dataset).num_classes
        facts = known.get(name, {}) | measure_cost(config, num_classes=num_classes)._asdict()
        lines.append(f"{json.dumps(name)}: {json.dumps(facts)}")
    write_atomically(FILE, "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
