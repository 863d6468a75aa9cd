"""Files written by prediction, with a fake model that labels pixels by their brightness."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig
from maskformer_jax.data.images import load_image
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.drawing import draw_result, explain_empty
from maskformer_jax.evaluation.result import FoundInstance, Result, Segment
from maskformer_jax.prediction.inputs import find_images, name_outputs
from maskformer_jax.prediction.predict import encode_labels, predict_paths
from maskformer_jax.prediction.records import describe_classes

CATEGORIES = (
    Category(name="dark", color=(0, 0, 142), category_id=7),
    Category(name="bright", color=(250, 170, 30), category_id=11),
    Category(name="never", color=(0, 255, 0), category_id=12),
)


class Brightness:
    """Labels dark pixels 0 and bright ones 1."""

    def __init__(self, categories: tuple[Category, ...] = CATEGORIES) -> None:
        self.categories = categories

    def predict_images(
        self, images: Sequence[Path], *, on_error: Callable[[int, UserError], None] | None = None
    ) -> Iterator[tuple[int, np.ndarray, Result]]:
        # As with buckets, results come in another order than the images.
        for number in reversed(range(len(images))):
            try:
                image = load_image(images[number])
            except UserError as error:
                assert on_error is not None
                on_error(number, error)
                continue
            yield number, image, self.predict(image)

    def predict(self, image: np.ndarray) -> Result:
        return Result(semantic=(image.mean(axis=2) > 127).astype(np.int32))


def draw(path: Path, *, height: int = 6, width: int = 8, bright_columns: int = 2) -> Path:
    """A black picture whose last columns are white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width - bright_columns :] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_and_records(tmp_path: Path) -> None:
    path = draw(tmp_path / "street.png")
    output = tmp_path / "new" / "out"
    records = predict_paths(Brightness(), [path], output)
    assert written(output) == {"street_overlay.png", "street_labels.png", "predictions.json"}
    labels = np.asarray(Image.open(output / "street_labels.png"))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.tile([0] * 6 + [1] * 2, (6, 1)))
    overlay = np.asarray(Image.open(output / "street_overlay.png"))
    assert overlay.shape[1] >= 480
    assert overlay.std() > 0
    assert json.loads((output / "predictions.json").read_text()) == records
    assert records == [
        {
            "file": str(path),
            "height": 6,
            "width": 8,
            "overlay": "street_overlay.png",
            "labels": "street_labels.png",
            "segments": [
                {
                    "category": "dark",
                    "category_id": 7,
                    "label": 0,
                    "area": 36,
                    "share": 0.75,
                    "bbox": [0, 0, 6, 6],
                },
                {
                    "category": "bright",
                    "category_id": 11,
                    "label": 1,
                    "area": 12,
                    "share": 0.25,
                    "bbox": [6, 0, 2, 6],
                },
            ],
        }
    ]


def test_jpg_overlay(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    predict_paths(Brightness(), [path], tmp_path / "out", overlay_format="jpg")
    with Image.open(tmp_path / "out" / "a_overlay.jpg") as picture:
        assert picture.format == "JPEG"


def test_folders_are_searched_and_mirrored(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/a.png", "sub/deep/c.JPG"):
        draw(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    records = predict_paths(Brightness(), [tmp_path / "in"], tmp_path / "out")
    assert [Path(record["file"]).relative_to(tmp_path / "in").as_posix() for record in records] == [
        "a.jpg",
        "b.png",
        "sub/a.png",
        "sub/deep/c.JPG",
    ]
    assert written(tmp_path / "out") == {
        "predictions.json",
        *(
            f"{n}_{kind}.png"
            for n in ("a", "b", "sub/a", "sub/deep/c")
            for kind in ("overlay", "labels")
        ),
    }


def test_a_file_given_twice_is_predicted_once(tmp_path: Path) -> None:
    path = draw(tmp_path / "in" / "a.png")
    images = find_images([path, tmp_path / "in", path], output=tmp_path / "out")
    assert [found for found, _ in images] == [path]


def test_same_names_stay_distinct(tmp_path: Path) -> None:
    first = draw(tmp_path / "x" / "a.png", bright_columns=1)
    second = draw(tmp_path / "x" / "a.jpg", bright_columns=2)
    third = draw(tmp_path / "y" / "a.png", bright_columns=3)
    output = tmp_path / "out"
    records = predict_paths(Brightness(), [first, second, third], output)
    assert len({record["overlay"] for record in records}) == 3
    shares = [
        (np.asarray(Image.open(output / record["labels"])) == 1).mean(axis=0).sum()
        for record in records
    ]
    assert shares == [1, 2, 3]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png", "a.png"], ["a", "a_png", "a_png_2"]),
        (["a_png.jpg", "a.jpg", "a.png"], ["a_png", "a", "a_png_2"]),
        (["a.jpg", "A.jpg"], ["a", "A_jpg"]),
        (["s/a.jpg", "t/a.jpg", "v1.2.jpg"], ["s/a", "t/a", "v1.2"]),
    ],
)
def test_output_names(paths: list[str], names: list[str]) -> None:
    assert name_outputs(map(Path, paths)) == names


def test_second_run_does_not_predict_its_own_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png")
    output = tmp_path / "in" / "out"
    first = predict_paths(Brightness(), [tmp_path / "in"], output)
    assert predict_paths(Brightness(), [tmp_path / "in"], output) == first


def test_inputs_are_never_overwritten(tmp_path: Path) -> None:
    image = draw(tmp_path / "a.png")
    clash = draw(tmp_path / "a_overlay.png")
    before = clash.read_bytes()
    with pytest.raises(UserError, match=r"a_overlay\.png is an input"):
        predict_paths(Brightness(), [image, clash], tmp_path)
    with pytest.raises(UserError, match="also an input"):
        predict_paths(Brightness(), [tmp_path], tmp_path)
    assert clash.read_bytes() == before
    assert written(tmp_path) == {"a.png", "a_overlay.png"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jpg", r"missing\.jpg does not exist"),
        ("notes.txt", r"notes\.txt is not an image; supported are \.bmp"),
        ("empty", "no image in .*empty"),
    ],
)
def test_wrong_inputs(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        predict_paths(Brightness(), [tmp_path / name], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no path at all"):
        predict_paths(Brightness(), [], tmp_path / "out")


def test_an_unreadable_image_is_told_and_skipped(tmp_path: Path) -> None:
    good = draw(tmp_path / "a.png", height=40, width=40)
    broken, other = tmp_path / "b.png", tmp_path / "c.png"
    broken.write_bytes(good.read_bytes()[:60])
    other.write_text("no image")
    output = tmp_path / "out"
    with pytest.raises(
        UserError, match=r"2 of 3 images could not be read(?s:.)*b\.png: .*\n.*c\.png"
    ):
        predict_paths(Brightness(), [broken, good, other], output)
    assert written(output) == {"a_overlay.png", "a_labels.png", "predictions.json"}
    (record,) = json.loads((output / "predictions.json").read_text())
    assert record["file"] == str(good)


def test_without_a_readable_image_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UserError, match=r"1 of 1 images could not be read"):
        predict_paths(Brightness(), [tmp_path / "a.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_found_first(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"cannot write to .*a\.png/out: Not a directory"):
        predict_paths(Brightness(), [path], path / "out")


def test_hidden_files_are_left_out_and_links_followed(tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "._a.png").write_bytes(b"resource fork")
    draw(tmp_path / "in" / ".thumbnails" / "a.png")
    draw(tmp_path / "far" / "b.png")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "far")
    found = find_images([tmp_path / "in"], output=tmp_path / "out")
    assert [file.as_posix() for _, file in found] == ["a.png", "linked/b.png"]


def test_an_empty_result_says_why(tmp_path: Path) -> None:
    nothing = Result(
        semantic=np.zeros((6, 8), np.int32), panoptic=np.zeros((6, 8), np.int32), segments=()
    )
    settings = EvalConfig(object_mask_threshold=0.85, overlap_threshold=0.75)
    note = explain_empty(nothing, settings)
    assert note == "no segment above object_mask_threshold 0.85 and overlap_threshold 0.75"
    assert explain_empty(Result(semantic=nothing.semantic), settings) is None
    assert "score of 0.5" in (explain_empty(Result(instances=()), settings) or "")
    image = np.zeros((6, 8, 3), np.uint8)
    plain, told = (draw_result(image, nothing, CATEGORIES, note=text) for text in (None, note))
    assert told.shape[0] > plain.shape[0]
    assert (told[plain.shape[0] :] < 100).any()  # ink


def test_rotated_photograph(tmp_path: Path) -> None:
    image = np.zeros((4, 10, 3), np.uint8)
    image[:, 7:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise: the right side becomes the bottom
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    (record,) = predict_paths(Brightness(), [tmp_path / "a.png"], tmp_path / "out")
    assert (record["height"], record["width"]) == (10, 4)
    bright = next(s for s in record["segments"] if s["category"] == "bright")
    assert bright["bbox"] == [0, 7, 4, 3]


@pytest.mark.parametrize(
    ("num_classes", "dtype"), [(255, np.uint8), (256, np.uint16), (847, np.uint16)]
)
def test_label_png_keeps_values(tmp_path: Path, num_classes: int, dtype: type) -> None:
    label_map = np.array([[0, num_classes - 1], [-1, 5]], np.int32)
    categories = [
        Category(name=str(label), color=(label % 256, 1, 2)) for label in range(num_classes)
    ]
    path = tmp_path / "labels.png"
    path.write_bytes(encode_labels(label_map, categories))
    stored = np.asarray(Image.open(path))
    assert stored.dtype == dtype
    assert stored.tolist() == [[0, num_classes - 1], [np.iinfo(dtype).max, 5]]
    if num_classes == 255:
        shown = np.asarray(Image.open(path).convert("RGB"))
        assert shown.tolist() == [[[0, 1, 2], [254, 1, 2]], [[0, 0, 0], [5, 1, 2]]]


def test_segments_of_a_drawn_map() -> None:
    label_map = np.array([[-1, -1, 1, -1], [-1, 0, 1, 1], [-1, 0, -1, -1]])
    segments = describe_classes(label_map, CATEGORIES)
    assert [(s["label"], s["area"], s["share"], s["bbox"]) for s in segments] == [
        (1, 3, 3 / 12, [2, 0, 2, 2]),
        (0, 2, 2 / 12, [1, 1, 1, 2]),
    ]
    assert describe_classes(np.full((2, 2), -1), CATEGORIES) == []


class TwoCats(Brightness):
    """Finds a segment of "dark" left, one right of it, and void in the last column."""

    def __init__(self, panoptic: bool) -> None:
        things = (Category(name="cat", color=(0, 90, 142), category_id=7, is_thing=True),)
        super().__init__((*things, *CATEGORIES[1:]))
        self.panoptic = panoptic

    def predict(self, image: np.ndarray) -> Result:
        ids = np.tile(np.array([1, 1, 1, 1, 300, 300, 300, 0], np.int32), (len(image), 1))
        masks = [ids == i for i in (300, 1, 1)]
        instances = tuple(
            FoundInstance(0, score, mask)
            for score, mask in zip((0.9, 0.8, 0.01), masks, strict=True)
        )
        if not self.panoptic:
            return Result(instances=instances)
        segments = (Segment(1, 0, True, 0.95, 24), Segment(300, 0, True, 0.91239, 18))
        return Result(
            semantic=np.zeros_like(ids), panoptic=ids, segments=segments, instances=instances
        )


def test_panoptic_files_and_records(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    (record,) = predict_paths(TwoCats(True), [path], tmp_path / "out")
    assert record["labels"] == "a_labels.png"
    colors = np.asarray(Image.open(tmp_path / "out" / record["panoptic"]), int)
    np.testing.assert_array_equal(colors[0, [0, 4, 7]], [[1, 0, 0], [44, 1, 0], [0, 0, 0]])
    assert record["segments"][1] == {
        "category": "cat",
        "category_id": 7,
        "label": 0,
        "area": 18,
        "share": 18 / 48,
        "bbox": [4, 0, 3, 6],
        "id": 300,
        "is_thing": True,
        "score": 0.9124,
    }
    assert [instance["score"] for instance in record["instances"]] == [0.9, 0.8]
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == [record]


def test_instances_alone(tmp_path: Path) -> None:
    (record,) = predict_paths(TwoCats(False), [draw(tmp_path / "a.png")], tmp_path / "out")
    assert written(tmp_path / "out") == {"a_overlay.png", "predictions.json"}
    assert record.keys() == {"file", "height", "width", "overlay", "instances"}
    assert record["instances"][0]["segmentation"]["size"] == [6, 8]
