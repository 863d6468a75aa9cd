import numpy as np
import pytest

from maskformer_jax.data.example import PanopticSegment
from maskformer_jax.data.targets import panoptic_targets, semantic_targets
from maskformer_jax.errors import UserError

LABELS = np.array([[5, 5, -1], [2, 149, 2]], np.int32)


def test_segments_are_the_sorted_classes_without_void():
    segment_map, labels, segment_valid, _ = semantic_targets(LABELS, num_segments=4, name="x")
    np.testing.assert_array_equal(segment_map, [[1, 1, -1], [0, 2, 0]])
    np.testing.assert_array_equal(labels, [2, 5, 149, 0])
    np.testing.assert_array_equal(segment_valid, [True, True, True, False])
    assert (segment_map.dtype, labels.dtype) == (np.int16, np.int32)


def test_segment_map_and_labels_give_the_label_map_back():
    label_map = np.random.default_rng(0).integers(-1, 30, size=(20, 30), dtype=np.int32)
    segment_map, labels, _, _ = semantic_targets(label_map, num_segments=30, name="x")
    np.testing.assert_array_equal(np.where(segment_map < 0, -1, labels[segment_map]), label_map)


def test_an_image_that_is_all_void_has_no_segments():
    void = np.full((2, 3), -1, np.int32)
    segment_map, labels, segment_valid, _ = semantic_targets(void, num_segments=2, name="x")
    assert (segment_map == -1).all()
    assert (labels == 0).all()
    assert not segment_valid.any()


def test_more_segments_than_slots_names_the_image_and_the_setting():
    with pytest.raises(
        UserError, match=r"config\.data\.num_segments is 2, but must be 3 or more for image 'a/b'"
    ):
        semantic_targets(LABELS, num_segments=2, name="'a/b'")


def test_panoptic_segments_keep_their_order_and_crowd_is_left_out():
    id_map = np.array([[7, 7, 3], [0, 9, 3]], np.int32)
    segments = [
        PanopticSegment(segment_id=number, label=label, is_crowd=is_crowd, area=1)
        for number, label, is_crowd in ((9, 4, False), (3, 2, True), (7, 4, False), (8, 1, False))
    ]
    targets = panoptic_targets(id_map, segments, num_segments=5, name="x")
    np.testing.assert_array_equal(targets.segment_map, [[1, 1, -1], [-1, 0, -1]])
    assert targets.labels.tolist() == [4, 4, 1, 0, 0]  # the last one has no pixel and stays
    assert targets.segment_valid.tolist() == [True, True, True, False, False]
    assert targets.segment_map.dtype == np.int16
    nothing = panoptic_targets(id_map, segments[1:2], num_segments=2, name="x")
    assert (nothing.segment_map == -1).all()
    assert not nothing.segment_valid.any()
