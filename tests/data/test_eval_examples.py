import numpy as np
import pytest
from PIL import Image

from maskformer_jax.data.eval_examples import eval_examples, resize_for_eval
from maskformer_jax.data.images import load_image
from maskformer_jax.data.shapes import draw_example
from maskformer_jax.errors import UserError


def test_images_are_resized_and_labels_are_not(make_config):
    examples = list(eval_examples(make_config()))
    assert [example.image_id for example in examples] == ["000", "001", "002", "003", "004"]
    for index, (_, image, original_size, label_map, *_) in enumerate(examples):
        drawing = draw_example("val", index)
        assert original_size == (96, 128)
        np.testing.assert_array_equal(label_map, drawing.label_map)
        # Shorter side 48 would make the longer one 64, which is above max_size 60.
        expected = Image.fromarray(drawing.image).resize((60, 45), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(image, expected)


def test_sizes_are_known_before_anything_is_decoded(make_config):
    examples = eval_examples(make_config())
    assert examples.shapes == [example.shape for example in examples]
    assert examples.shapes[0] == ((45, 60), (96, 128))


def test_examples_come_in_the_order_asked_for(make_config):
    examples = eval_examples(make_config())
    assert [example.image_id for example in examples.read([3, 0, 3])] == ["003", "000", "003"]


def test_examples_can_be_read_again_and_left_early(make_config):
    examples = eval_examples(make_config())
    assert next(iter(examples)).image_id == "000"
    assert len(list(examples)) == len(list(examples)) == 5


@pytest.mark.parametrize("num_threads", [0, 4])
def test_threads_do_not_change_the_order(make_config, num_threads):
    names = [example.image_id for example in eval_examples(make_config(num_threads=num_threads))]
    assert names == ["000", "001", "002", "003", "004"]


def test_a_bad_file_is_named(make_config, tmp_path, write):
    for index in range(6):
        write(tmp_path, "val", f"{index}", np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9), "u1"))
    (tmp_path / "annotations/val/4.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"annotations/val/4\.png: cannot be decoded"):
        list(eval_examples(make_config(root=str(tmp_path))))


def test_single_image(make_config, tmp_path):
    drawing = draw_example("val", 0)
    path = tmp_path / "a.png"
    Image.fromarray(drawing.image).save(path)
    image = resize_for_eval(load_image(path), make_config().eval)
    np.testing.assert_array_equal(image, next(iter(eval_examples(make_config()))).image)


def test_missing_image(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*b\.png"):
        load_image(tmp_path / "b.png")
