import numpy as np
import pytest

from maskformer_jax.data.labels import to_stored
from maskformer_jax.data.panoptic import segment_box
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.shapes import IMAGE_SIZE, STUFF, draw_example


@pytest.fixture(scope="module")
def drawings():
    return [draw_example("train", index) for index in range(40)]


def test_drawings_depend_on_split_and_index_alone():
    first = draw_example("train", 3)
    draw_example("val", 0)
    again = draw_example("train", 3)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.panoptic.id_map, again.panoptic.id_map)
    assert first.panoptic.segments == again.panoptic.segments
    for other in (draw_example("train", 4), draw_example("val", 3)):
        assert not np.array_equal(first.image, other.image)


def test_segments_describe_the_maps(drawings):
    for drawing in drawings:
        assert drawing.image.shape == (*IMAGE_SIZE, 3)
        assert drawing.image.dtype == np.uint8
        id_map, segments = drawing.panoptic
        ids = [segment.segment_id for segment in segments]
        assert ids == list(range(1, len(ids) + 1))
        assert set(np.unique(id_map)) <= {0, *ids}
        np.testing.assert_array_equal(drawing.label_map < 0, id_map == 0)
        for segment in segments:
            mask = id_map == segment.segment_id
            assert segment.area == mask.sum()
            assert (drawing.label_map[mask] == segment.label).all()
            top, left, bottom, right = segment_box(mask)
            assert mask[top:bottom, left:right].sum() == segment.area
            assert mask[top].any()
            assert mask[bottom - 1].any()
            assert mask[:, left].any()
            assert mask[:, right - 1].any()


def test_stuff_has_one_segment_of_a_class_and_things_may_have_several(drawings):
    several = 0
    for drawing in drawings:
        labels = [segment.label for segment in drawing.panoptic.segments]
        stuff = [label for label in labels if label < len(STUFF)]
        assert len(stuff) == len(set(stuff))
        several += len(set(labels)) < len(labels)
    assert several > 5


def test_every_class_and_void_occurs(drawings):
    labels = np.stack([drawing.label_map for drawing in drawings])
    shares = np.bincount(labels.ravel() + 1, minlength=10) / labels.size
    assert 0.02 < shares[0] < 0.1
    assert shares[1:].min() > 0.01


def test_void_separates_things_from_what_lies_behind(drawings):
    things = np.stack([drawing.label_map for drawing in drawings]) >= len(STUFF)
    stuff = np.stack([(d.label_map >= 0) & (d.label_map < len(STUFF)) for d in drawings])
    assert not (things[:, :, 1:] & stuff[:, :, :-1]).any()
    assert not (things[:, 1:] & stuff[:, :-1]).any()


def test_stored_labels():
    stored = to_stored(np.array([[-1, 0, 8]], np.int32), load_dataset_info("shapes"))
    np.testing.assert_array_equal(stored, [[255, 0, 8]])
    assert stored.dtype == np.uint8
