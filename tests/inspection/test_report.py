"""The report of a run: what it says, and that it needs nothing beside itself."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from inspection.drawn_run import draw_run, evaluate
from inspection.html_page import Page

from maskformer_jax.__main__ import main
from maskformer_jax.config.io import load_config, to_json
from maskformer_jax.evaluation.worst_examples import WorstExamples
from maskformer_jax.inspection.report.page import report_page
from maskformer_jax.inspection.report.run import read_run
from maskformer_jax.inspection.report.scores import confusion_shares


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    draw_run(folder)
    return folder


def text_of(page: str) -> str:
    """The page without scripts and tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<script>.*?</script>", "", page, flags=re.S))


def test_page_is_whole_and_loads_nothing(workdir: Path) -> None:
    text = report_page([workdir])
    page = Page(text)
    assert not page.open
    assert page.opened.count("script") == 2
    assert all(source.startswith("data:") for source in page.sources)
    assert "</script> & co" not in text  # a class name ends no script
    assert "cat &lt;/script&gt; &amp; co" in text


def test_page_says_what_was_run(workdir: Path) -> None:
    text = text_of(report_page([workdir]))
    assert "train.batch_size" in text  # of 64 in the recipe, 3 in the run
    row = re.search(r"train\.batch_size\s+(\S+)\s+(\S+)", text)
    assert row is not None
    assert row.groups() == ("64", "3")
    assert "coco-panoptic/maskformer_panoptic_R50_bs64_554k" in text
    assert "1 x cpu" in text or "4 x cpu" in text
    assert str(workdir.parent) not in report_page([workdir])


def test_best_evaluation_is_shown(workdir: Path) -> None:
    run = read_run(workdir)
    assert run.evaluation is not None
    assert run.evaluation["step"] == 20
    assert [one["image_id"] for one in run.evaluation["examples"]] == ["photo 0", "photo 1"]
    assert run.evaluation["scores"]["PQ"] == pytest.approx(
        next(line["eval/PQ"] for line in run.log if line["step"] == 20 and "eval/PQ" in line)
    )


def test_evaluation_of_a_step_not_reached_again_is_left_out(tmp_path: Path) -> None:
    draw_run(tmp_path)
    log = tmp_path / "metrics.jsonl"
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= 10]
    log.write_text("\n".join(lines) + "\n")
    evaluation = read_run(tmp_path).evaluation
    assert evaluation is not None
    assert evaluation["step"] == 10


def test_counts_of_segments(tmp_path: Path) -> None:
    # Cats shifted by 10 of 30 pixels have an IoU of 0.5, which is no match; by 2, one of 0.875.
    evaluate(tmp_path, shifts=(10, 2), step=1)
    text = text_of(report_page([tmp_path]))
    row = re.search(r"cat &lt;/script&gt; &amp; co\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+", text)
    assert row is not None
    assert row.groups() == ("1", "1", "1", "50.00")


def test_confusion_is_of_true_pixels(tmp_path: Path) -> None:
    evaluate(tmp_path, shifts=(15,), step=1)
    evaluation = read_run(tmp_path).evaluation
    assert evaluation is not None
    names, shares = confusion_shares(evaluation)
    assert names[1:] == ["sky", "no class"]
    np.testing.assert_allclose(shares[0], [50, 50, 0])  # half of the cat is called sky
    sky = 60 * 80 - 600
    np.testing.assert_allclose(shares[1], [100 * 300 / sky, 100 * (sky - 300) / sky, 0])


def test_worst_images_are_kept_whatever_the_order(tmp_path: Path) -> None:
    evaluate(tmp_path, shifts=(1, 9, 4, 16, 2), step=1, most=2)
    evaluation = read_run(tmp_path).evaluation
    assert evaluation is not None
    examples = evaluation["examples"]
    assert [one["image_id"] for one in examples] == ["photo 3", "photo 1"]
    assert examples[0]["score"] < examples[1]["score"]
    assert len(list((tmp_path / "examples").iterdir())) == 6


def test_images_of_other_processes_are_taken_over() -> None:
    from inspection.drawn_run import CATEGORIES, draw_example, predict

    parts = []
    for numbers in ((0, 2), (1, 3)):
        worst = WorstExamples(CATEGORIES, most=2)
        for number in numbers:
            worst.add(draw_example(number), predict(draw_example(number), shift=1), 10.0 * number)
        parts.append(worst)
    parts[0].take_over(parts[1].worst_first())
    assert [one.image_id for one in parts[0].worst_first()] == ["photo 0", "photo 1"]
    parts[0].add(draw_example(4), predict(draw_example(4), shift=1), float("nan"))
    assert len(parts[0].worst_first()) == 2


def test_runs_are_compared(workdir: Path, tmp_path: Path) -> None:
    other = tmp_path / "first"  # of the same name
    draw_run(other)
    output = tmp_path / "both.html"
    assert main(["report", str(workdir), str(other), f"--output={output}"]) == 0
    text = output.read_text("utf-8")
    assert "first (1)" in text
    assert "first (2)" in text
    assert text.count('"name": "first (1): prediction"') == 2  # in each of two images
    assert text.count('"name": "ground truth"') == 2


def test_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "has nothing to report" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_lost_picture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tmp_path, shifts=(1,), step=1)
    (tmp_path / "examples" / "00.jpg").unlink()
    assert main(["report", str(tmp_path)]) == 1
    assert "00.jpg" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_evaluation_says_itself_what_was_run(tmp_path: Path) -> None:
    evaluate(tmp_path, shifts=(1,), step=1)
    content = json.loads((tmp_path / "report.json").read_text())
    config = load_config("camvid/maskformer_R50")
    config.eval.short_edge = 123
    start = {"command": "eval --output=.", "time": "today", "devices": "2 x tpu", "processes": 1}
    start |= {"versions": {"jax": "9.9"}, "python": "3.14", "system": "Linux"}
    content |= {"config": json.loads(to_json(config)), "start": start}
    (tmp_path / "report.json").write_text(json.dumps(content))
    text = text_of(report_page([tmp_path]))
    assert "2 x tpu" in text
    assert re.search(r"eval\.short_edge\s+360\s+123", text)
