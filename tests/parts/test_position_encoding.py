from pathlib import Path

import numpy as np
import pytest

from maskformer_jax.parts.position_encoding import encode_positions

COMPONENTS = Path(__file__).parents[1] / "golden" / "components.npz"


def test_worked_values():
    x = np.asarray(encode_positions(2, 3, dim=256))[0]
    rows = {  # channel: value in each row, the same in all columns
        0: (2e-6, -3e-6),
        1: (-1, 1),
        2: (0.408753, -0.746092),
        3: (-0.912645, 0.665843),
        126: (0.000363, 0.000726),
    }
    for channel, values in rows.items():
        for row, value in enumerate(values):
            np.testing.assert_allclose(x[row, :, channel], value, atol=1e-6)
    columns = {128: (0.866026, -0.866025, -2e-6), 130: (0.970651, -0.466871, -0.746092)}
    for channel, values in columns.items():
        np.testing.assert_allclose(x[:, :, channel], np.tile(values, (2, 1)), atol=1e-6)
    np.testing.assert_allclose(x.sum(), 734.8466, atol=1e-3)


def golden_sizes() -> list[str]:
    with np.load(COMPONENTS) as archive:
        return [name for name in archive.files if name.startswith("position/")]


@pytest.mark.parametrize("name", golden_sizes())
def test_equals_the_official_encoding(name):
    with np.load(COMPONENTS) as archive:
        expected = archive[name]
    height, width = (int(n) for n in name.removeprefix("position/").split("x"))
    actual = np.asarray(encode_positions(height, width, dim=expected.shape[0]))[0]
    np.testing.assert_allclose(actual.transpose(2, 0, 1), expected, rtol=0, atol=1e-6)


def test_transposing_the_grid_swaps_the_halves():
    x, y = (np.asarray(encode_positions(*s, dim=8))[0] for s in ((3, 5), (5, 3)))
    np.testing.assert_array_equal(x[..., :4], y.transpose(1, 0, 2)[..., 4:])
