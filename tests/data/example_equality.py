"""Exact comparison of examples from two sources."""

import numpy as np

from maskformer_jax.data.example import Example


def assert_equal(one: Example, other: Example) -> None:
    assert one.image_id == other.image_id
    np.testing.assert_array_equal(one.image, other.image)
    assert (one.label_map is None) == (other.label_map is None)
    if one.label_map is not None:
        np.testing.assert_array_equal(one.label_map, other.label_map)
    assert (one.panoptic is None) == (other.panoptic is None)
    if one.panoptic is not None:
        np.testing.assert_array_equal(one.panoptic.id_map, other.panoptic.id_map)
        assert one.panoptic.segments == other.panoptic.segments
    assert one.instances == other.instances
