"""Measuring: processes that take turns, what is reported, and what is refused."""

import json
from pathlib import Path

import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.benchmark.case import Case, Measured, Prepared
from maskformer_jax.benchmark.report import find_chip, record, table
from maskformer_jax.benchmark.synthetic import draw_batch

TINY = "--config=shapes/maskformer_R18"


def make(side: str, milliseconds: list[float], **fields: object) -> Measured:
    case = Case(side, "a", ("model.compute_dtype=bfloat16",), "train", 4, (64, 64), 3, "folder")
    prepared = Prepared("NVIDIA H100", 1000, 10.0, 1.5, 98.9e12, {"jax": "1"})
    return Measured(case, prepared, milliseconds, 2000.0, 2**30, fields)


def test_the_table_compares_medians_and_names_the_limit() -> None:
    text = table([make("ours", [90.0, 100.0, 400.0]), make("eager", [150.0, 200.0, 250.0])])
    ours, eager = text.splitlines()[-2:]
    assert "100 (90, 400)" in ours
    assert "40" in ours  # images per second
    assert "10.0 s, 1.5 s" in ours
    assert "100%" in ours  # 98.9 TFLOP in 0.1 s are the 989 TFLOP/s of the card
    assert "first call 2.0 s" in eager
    assert eager.rstrip(" |").endswith("0.50")


def test_a_record_has_all_figures_as_plain_types() -> None:
    entry = json.loads(json.dumps(record(make("ours", [1.0, 2.0], matcher_ms=0.5))))
    assert entry["milliseconds"] == [1.0, 2.0]
    assert entry["matcher_ms"] == 0.5
    assert entry["side"] == "ours"
    assert entry["flops"] == 98.9e12


def test_kinds_of_devices() -> None:
    assert find_chip("NVIDIA H200").name == "h100"
    assert find_chip("TPU v5 lite").name == "v5e"
    assert find_chip("cpu") is None


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_drawn_batch_is_a_valid_one(overlapping: bool) -> None:
    batch = draw_batch(2, (40, 72), segments=3, slots=5, num_classes=2, overlapping=overlapping)
    assert batch.image.shape == (2, 40, 72, 3)
    assert batch.segment_valid.sum() == 6
    assert batch.labels.max() == 1
    if overlapping:
        assert batch.segment_map is None
        assert batch.masks.shape == (2, 5, 40, 9)
        assert not batch.masks[:, 3:].any()
    else:
        assert sorted(set(batch.segment_map.ravel().tolist())) == [0, 1, 2]


def test_a_tiny_model_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    arguments = [TINY, "--what=infer", "--size=64x64", "--rounds=2", f"--json={file}"]
    assert main(["benchmark", *arguments, "--batch=1,2"]) == 0
    entries = json.loads(file.read_text())
    assert [entry["batch"] for entry in entries] == [1, 2]
    for entry in entries:
        assert len(entry["milliseconds"]) == 2
        assert min(entry["milliseconds"]) > 0
        assert entry["flops"] > 1e6
        assert entry["peak_bytes"] > 1e6
        assert entry["cold_s"] > entry["cached_s"] > 0  # kept in the cache on disk
    assert "shapes/maskformer_R18" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "message"),
    [("--what=fly", "--what is 'fly'"), ("--size=64", "--size is HxW"), ("--peer=jit", "'jit'")],
)
def test_wrong_arguments_are_named(
    argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["benchmark", TINY, argument])
    assert message in capsys.readouterr().err


def test_a_failing_process_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    # An image of no size fails in the process that measures.
    assert main(["benchmark", TINY, "--what=infer", "--size=0x0", "--rounds=1"]) == 1
    assert "infer of shapes/maskformer_R18 (ours) ended with status 1" in capfd.readouterr().err
