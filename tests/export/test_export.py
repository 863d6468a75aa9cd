"""Exported files: they give what the model gives, in a process that knows JAX alone."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_pretrained import config, photograph, saved

from maskformer_jax.__main__ import main
from maskformer_jax.checkpoints.export import write_workdir
from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import resize_for_eval
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.export.loader import network_size
from maskformer_jax.export.write import buckets_for_images, buckets_for_sizes, write_export
from maskformer_jax.pretrained import Loaded, load_pretrained

__all__ = ["config", "saved"]  # fixtures

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
RUNNER = """
import sys
from importlib.abc import MetaPathFinder


class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("maskformer_jax", "flax", "PIL", "cv2"):
            raise ImportError(f"{name} must not be needed")


if __name__ == "__main__":
    sys.meta_path.insert(0, Refuse())
    sys.path.insert(0, sys.argv[1])
    import jax
    import numpy as np

    count = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: count.append(name) if "backend_compile" in name else None
    )
    from loader import load

    predict = load(sys.argv[1])
    images = np.load(sys.argv[2])
    before = len(count)
    results = {}
    for name in images.files:
        results |= {f"{name}/{k}": v for k, v in predict(images[name]).items()}
    np.savez(sys.argv[3], programs=len(count) - before, **results)
"""


@pytest.fixture(scope="module")
def panoptic(saved: Loaded) -> Loaded:
    settings = saved.config
    settings.eval.task, settings.eval.object_mask_threshold = "panoptic", 0.2
    settings.eval.overlap_threshold = 0.1
    return saved


def run_alone(file: Path, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Results of an exported file, from a process without this package."""
    folder = file.parent
    np.savez(folder / "images.npz", **images)
    (folder / "runner.py").write_text(RUNNER)
    command = ["runner.py", file, folder / "images.npz", folder / "results.npz"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([sys.executable, *map(str, command)], check=True, cwd=folder, env=environment)
    with np.load(folder / "results.npz") as results:
        return dict(results)


def test_results_are_those_of_the_model_bit_for_bit(panoptic: Loaded, tmp_path: Path) -> None:
    sizes = [(50, 61), (40, 60), (64, 64), (30, 64)]
    images = {str(i): photograph(*size) for i, size in enumerate(sizes)}
    buckets = buckets_for_images(sizes, panoptic.config, most=2)
    assert 1 <= len(buckets) <= 2
    file = tmp_path / "model.zip"
    write_export(panoptic, file, buckets)
    results = run_alone(file, images)
    assert results["programs"] == len(buckets)

    evaluator = Evaluator(panoptic.model, panoptic.config, categories=panoptic.categories)
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    segments = []
    for name, image in images.items():
        resized = resize_for_eval(image, panoptic.config.eval)
        size, network = image.shape[:2], resized.shape[:2]
        bucket = next(
            buckets_by_size(buckets)[tuple(one["image"])]
            for one in manifest["buckets"]
            if all(np.array(size) <= one["image"]) and all(np.array(network) <= one["network"])
        )
        (ours,) = evaluator.run(panoptic.variables, bucket, [resized], [size])()
        np.testing.assert_array_equal(results[f"{name}/semantic"], ours.semantic)
        np.testing.assert_array_equal(results[f"{name}/panoptic"], ours.panoptic.id_map)
        np.testing.assert_array_equal(results[f"{name}/segment_label"], ours.panoptic.label)
        np.testing.assert_array_equal(results[f"{name}/instance_masks"], ours.instances.masks)
        np.testing.assert_array_equal(results[f"{name}/semantic"], panoptic.predict(image).semantic)
        segments.append(int(ours.panoptic.valid.sum()))
    assert max(segments) > 1


def buckets_by_size(buckets):
    return {bucket.output_size: bucket for bucket in buckets}


def test_file_says_what_it_holds(panoptic: Loaded, tmp_path: Path) -> None:
    file = tmp_path / "model.zip"
    write_export(panoptic, file, buckets_for_sizes([(48, 64)], panoptic.config))
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert set(archive.namelist()) == {
            "manifest.json",
            "loader.py",
            "weights.npz",
            "program_0.bin",
        }
    assert manifest["platforms"] == ["cpu", "cuda", "tpu"]
    assert "jax" in manifest["versions"]
    assert "6 months" in manifest["compatibility"]
    assert [one["name"] for one in manifest["classes"]] == [c.name for c in panoptic.categories]


def test_image_that_fits_nowhere_is_refused(panoptic: Loaded, tmp_path: Path) -> None:
    from maskformer_jax.export.loader import load

    file = tmp_path / "model.zip"
    write_export(panoptic, file, buckets_for_sizes([(48, 64)], panoptic.config))
    with pytest.raises(ValueError, match="fits in none of"):
        load(file)(np.zeros((49, 64, 3), np.uint8))
    # Within 48 x 64, but its shorter side is enlarged until the other exceeds the network's.
    with pytest.raises(ValueError, match="fits in none of"):
        load(file)(np.zeros((20, 64, 3), np.uint8))


def test_sizes_of_the_network_are_ours() -> None:
    from maskformer_jax.data.transforms import shortest_edge_size

    random = np.random.default_rng(0)
    for _ in range(2000):
        size, short_edge = random.integers(1, 3000, 2), int(random.integers(1, 900))
        max_size = int(random.integers(short_edge, 2000))
        found = network_size(size.astype(np.int32), short_edge, max_size)
        assert tuple(found) == shortest_edge_size(tuple(size.tolist()), short_edge, max_size)


def test_command_chooses_sizes_for_a_folder(
    saved: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_workdir(saved.variables, saved.config, tmp_path / "run")
    (tmp_path / "images").mkdir()
    for number, size in enumerate([(40, 60), (44, 60), (60, 40)]):
        Image.fromarray(photograph(*size)).save(tmp_path / "images" / f"{number}.png")
    file = tmp_path / "model.zip"
    command = ["export", f"--checkpoint={tmp_path / 'run'}", f"--output={file}"]
    assert main([*command, f"--images={tmp_path / 'images'}"]) == 0
    assert "programs" in capsys.readouterr().out
    from maskformer_jax.export.loader import load

    predict, loaded = load(file), load_pretrained(tmp_path / "run")
    for path in sorted((tmp_path / "images").iterdir()):
        image = np.asarray(Image.open(path))
        np.testing.assert_array_equal(predict(image)["semantic"], loaded.predict(path).semantic)
    assert main([*command, "--size=10"]) == 1
    assert "HEIGHTxWIDTH" in capsys.readouterr().err


def test_code_of_the_page(
    panoptic: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(panoptic, tmp_path / "model.zip", buckets_for_sizes([(48, 64)], panoptic.config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    use, serve, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    image = photograph(40, 60)
    names: dict[str, Any] = {"image": image}
    exec(use, names)
    expected = panoptic.predict(image).semantic
    np.testing.assert_array_equal(names["results"]["semantic"], expected)

    served: dict[str, Any] = {"__name__": "serve"}
    exec(serve.replace("8001", "0").replace("server.serve_forever()", ""), served)
    server = served["server"]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    url = f"http://127.0.0.1:{server.server_port}/"
    with urllib.request.urlopen(url, png.getvalue(), timeout=60) as answer:
        labels = np.asarray(Image.open(io.BytesIO(answer.read())))
    server.shutdown()
    server.server_close()
    np.testing.assert_array_equal(labels, expected)
    monkeypatch.delitem(sys.modules, "loader")


def test_augmentation_is_refused(
    saved: Loaded, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_workdir(saved.variables, config, tmp_path / "run")
    command = ["export", f"--checkpoint={tmp_path / 'run'}", f"--output={tmp_path / 'm.zip'}"]
    options = ["--config.eval.task=semantic", "--config.eval.tta.enabled=True"]
    assert main([*command, *options, "--config.eval.tta.short_edges=(48,)"]) == 1
    assert "test-time augmentation" in capsys.readouterr().err
    assert not (tmp_path / "m.zip").exists()
