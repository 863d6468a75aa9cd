import numpy as np
import pytest

from maskformer_jax.parts.backbones.swin.windows import relative_position_index, shift_regions


def test_index_of_a_small_window():
    expected = [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    np.testing.assert_array_equal(relative_position_index(2), expected)


@pytest.mark.parametrize(("window", "first", "last"), [(7, 84, 168), (12, 264, 528)])
def test_index_of_the_published_windows(window, first, last):
    index = relative_position_index(window)
    assert (index[0, 0], index[-1, 0], index[0, -1]) == (first, last, 0)
    assert index.sum() == first * window**4  # offsets of both signs cancel


def test_regions_of_a_six_by_six_map():
    expected = np.array([[0, 0, 0, 0, 1, 2]] * 4 + [[3, 3, 3, 3, 4, 5], [6, 6, 6, 6, 7, 8]])
    regions = shift_regions(6, 6, window=2, shift=1)
    for number, tokens in enumerate(regions):
        row, column = divmod(number, 3)
        cell = expected[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_array_equal(tokens, cell.ravel())


def test_a_single_window_is_split_as_well():
    regions = shift_regions(2, 4, window=2, shift=1)
    assert len(np.unique(regions[-1])) == 4
    assert len(np.unique(regions[0])) == 2
