import warnings

import numpy as np

from maskformer_jax.data.run_lengths import bounding_box, decode_mask, encode_masks, mask_area


def test_round_trip_without_a_warning():
    masks = np.zeros((3, 5, 7), bool)
    masks[0, 1:3, 2:6], masks[1, 4, 0] = True, True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rles = encode_masks(masks)
        decoded = [decode_mask(rle) for rle in rles]
    np.testing.assert_array_equal(decoded, masks)
    assert decoded[0].dtype == bool
    assert [rle["size"] for rle in rles] == [[5, 7]] * 3
    assert [bounding_box(rle) for rle in rles] == [(2, 1, 4, 2), (0, 4, 1, 1), (0, 0, 0, 0)]
    assert [mask_area(rle) for rle in rles] == [8, 1, 0]
    assert encode_masks(masks[:0]) == []
