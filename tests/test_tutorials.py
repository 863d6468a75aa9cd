"""The programs of docs/tutorials.md, run as they stand there."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from test_pretrained import config, photograph, saved

from maskformer_jax.checkpoints.export import write_workdir
from maskformer_jax.pretrained import Loaded

__all__ = ["config", "saved"]  # fixtures

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorials.md").read_text()
SECTIONS = {
    text.partition("\n")[0]: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for text in PAGE.split("\n## ")[1:]
}
TOY = ROOT / "tests" / "training" / "toy_parts" / "toy_backbone"


def run(section: str) -> dict[str, Any]:
    """The names that the program of a section leaves."""
    (program,) = SECTIONS[section]
    names: dict[str, Any] = {"__name__": "tutorial"}
    exec(compile(program, f"docs/tutorials.md, {section}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _broadcasting() -> Any:
    # Users have JAX's default, not the stricter one of the tests.
    with jax.numpy_rank_promotion("allow"):
        yield


def test_own_head_learns_beside_the_masks() -> None:
    names = run("Write your own head")
    losses = names["losses"]
    assert losses[-1] < 0.7 * losses[0]
    _, terms = names["compute_loss"](names["params"])
    assert set(terms) >= {"loss_class", "loss_mask", "loss_dice", "loss_class_0"}
    before = names["variables"]["params"]["distance"]["kernel"]
    assert np.abs(names["params"]["distance"]["kernel"] - before).max() > 1e-3


@pytest.mark.parametrize("name", ["config.py", "model.py", "weights.py"])
def test_backbone_is_the_one_that_other_tests_train(name: str) -> None:
    shown = {
        block.partition("\n")[0].removeprefix("# "): block.partition("\n")[2]
        for block in SECTIONS["Another backbone in one folder"]
    }
    assert shown[name].strip() == (TOY / name).read_text().strip()


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("Fine-tune in a notebook")
    height, width = names["image"].shape[:2]
    assert names["picture"].shape == (height, width, 3)
    assert (tmp_path / "notebook" / "run" / "metrics.jsonl").is_file()


def test_losses_matching_and_metrics() -> None:
    names = run("Losses, matching and metrics alone")
    np.testing.assert_array_equal(names["queries"], [[[1, 0]]])  # 2 + 1 is less than 5 + 0
    assert names["scores"]["mIoU"] == pytest.approx(50)
    assert names["scores"]["pACC"] == pytest.approx(100 * 2 / 3)
    assert names["quality"]["PQ"] == pytest.approx(100)


def test_nnx_computes_what_linen_computes() -> None:
    from flax import nnx

    names = run("Flax NNX")
    state = nnx.to_pure_dict(names["parameters"])
    others = nnx.to_pure_dict(nnx.state(names["model"]))
    constants = {
        part: without(values, state.get(part, {}))
        for part, values in others.items()
        if part in state
    }
    variables = {"params": state, "constants": {k: v for k, v in constants.items() if v}}
    if not variables["constants"]:
        del variables["constants"]
    expected = names["module"].apply(variables, names["images"])
    np.testing.assert_allclose(
        names["predictions"].mask_logits, expected.mask_logits, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_programs_that_load_a_checkpoint(
    page: str, saved: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    (program,) = (text for text in programs if "load_pretrained" in text)
    monkeypatch.chdir(tmp_path)
    (folder,) = re.findall(r'load_pretrained\("(.*?)"\)', program)
    write_workdir(saved.variables, saved.config, tmp_path / folder)
    for name in ("street.jpg", "road.jpg"):
        Image.fromarray(photograph(40, 60)).save(tmp_path / name)
    names: dict[str, Any] = {}
    exec(compile(program, page, "exec"), names)
    assert names["result"].semantic.shape == (40, 60)


def without(tree: Any, other: Any) -> Any:
    """The leaves of a tree of dicts that another does not have."""
    return {
        key: without(value, other.get(key, {})) if isinstance(value, dict) else value
        for key, value in tree.items()
        if isinstance(value, dict) or key not in other
    }
