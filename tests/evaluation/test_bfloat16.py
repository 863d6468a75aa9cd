"""How far bfloat16 is from float32, on trained weights and real images.

Needs the run of docs/results.md on CamVid and its data, named by two variables:

    MASKFORMER_CAMVID_RUN=runs/camvid_cpu MASKFORMER_CAMVID=datasets/camvid \
        python -m pytest -m slow tests/evaluation/test_bfloat16.py
"""

import os
from pathlib import Path

import numpy as np
import pytest
from compiled_as_users_do import AS_USERS_DO

from maskformer_jax.checkpoints.load import find_config
from maskformer_jax.evaluation import devices
from maskformer_jax.pretrained import load_pretrained

RUN, DATA = (os.environ.get(name) for name in ("MASKFORMER_CAMVID_RUN", "MASKFORMER_CAMVID"))


@pytest.mark.slow
@pytest.mark.skipif(RUN is None or DATA is None, reason="no trained CamVid run was named")
def test_labels_agree_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "inference_options", lambda *_, **__: AS_USERS_DO)
    assert RUN is not None
    assert DATA is not None
    images = sorted((Path(DATA) / "images/val").iterdir())
    assert len(images) == 101
    labels = {}
    for dtype in ("float32", "bfloat16"):
        config = find_config(Path(RUN))
        config.model.compute_dtype = dtype
        results = load_pretrained(RUN, config=config).predict_batch(images)
        labels[dtype] = np.stack([result.semantic for result in results])
    agreement = (labels["float32"] == labels["bfloat16"]).mean()
    print(f"labels agree at {100 * agreement:.3f} % of the pixels")
    assert 0.99 <= agreement < 1  # equal in all pixels would be float32 twice
