import io

import numpy as np
import pytest
from PIL import Image

from maskformer_jax.data.images import decode_image, decode_label_map, read_bytes
from maskformer_jax.errors import UserError

RNG = np.random.default_rng(0)
PHOTO = np.kron(RNG.integers(0, 256, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
LABELS = RNG.integers(0, 200, (6, 7)).astype(np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def test_rgb_is_unchanged():
    np.testing.assert_array_equal(decode_image(encode(Image.fromarray(PHOTO)), name="x"), PHOTO)


def test_greyscale_is_repeated_over_the_channels():
    decoded = decode_image(encode(Image.fromarray(LABELS)), name="x")
    np.testing.assert_array_equal(decoded, np.repeat(LABELS[..., None], 3, axis=2))


def test_16_bit_keeps_the_high_byte():
    data = encode(Image.fromarray(LABELS.astype(np.uint16) * 256 + 77))
    decoded = decode_image(data, name="x")
    np.testing.assert_array_equal(decoded, np.repeat(LABELS[..., None], 3, axis=2))


def test_alpha_is_dropped():
    rgba = np.concatenate([PHOTO, np.zeros_like(PHOTO[..., :1])], axis=2)
    np.testing.assert_array_equal(decode_image(encode(Image.fromarray(rgba)), name="x"), PHOTO)


def test_palette_gives_its_colours():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    np.testing.assert_array_equal(
        decode_image(encode(image), name="x"), [[[10, 20, 30], [40, 50, 60]]]
    )


def test_cmyk_jpeg_shows_the_same_picture():
    data = encode(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=100, subsampling=0)
    decoded = decode_image(data, name="x").astype(int)
    assert decoded.shape == PHOTO.shape
    assert np.abs(decoded - PHOTO).mean() < 2


@pytest.mark.parametrize(
    ("orientation", "undo"), [(3, lambda a: a[::-1, ::-1]), (6, np.rot90), (2, np.fliplr)]
)
def test_exif_orientation_is_applied(orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo(PHOTO))
    decoded = decode_image(encode(Image.fromarray(stored), exif=exif), name="x")
    np.testing.assert_array_equal(decoded, PHOTO)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_named(kind, share):
    noise = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(UserError, match=r"^street/7\.jpg: cannot be decoded"):
        decode_image(data[: int(share * len(data))], name="street/7.jpg")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_truncated_label_maps_are_named(share):
    data = encode(Image.fromarray(RNG.integers(0, 256, (64, 64)).astype(np.uint8)))
    with pytest.raises(UserError, match=r"^street/7\.png: cannot be decoded"):
        decode_label_map(data[: int(share * len(data))], name="street/7.png")


def test_text_is_no_image():
    with pytest.raises(UserError, match=r"^x: cannot be decoded \(unknown image format\)"):
        decode_image(b"hello, I am not an image", name="x")


def test_floating_point_images_are_refused():
    data = encode(Image.fromarray(LABELS.astype(np.float32)), "TIFF")
    with pytest.raises(UserError, match="floating-point"):
        decode_image(data, name="x")


def test_label_maps_keep_their_stored_values():
    np.testing.assert_array_equal(
        decode_label_map(encode(Image.fromarray(LABELS)), name="x"), LABELS
    )
    wide = LABELS.astype(np.uint16) * 300
    np.testing.assert_array_equal(decode_label_map(encode(Image.fromarray(wide)), name="x"), wide)


def test_label_map_with_a_palette_gives_the_indices():
    image = Image.fromarray(LABELS, mode="P")
    image.putpalette(list(range(255, -1, -1)) * 3)
    np.testing.assert_array_equal(decode_label_map(encode(image), name="x"), LABELS)


def test_label_map_in_colour_is_refused():
    with pytest.raises(
        UserError, match=r"^a\.png: .* mode is RGB, but a label map must have one channel"
    ):
        decode_label_map(encode(Image.fromarray(PHOTO)), name="a.png")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*gone\.jpg"):
        read_bytes(tmp_path / "gone.jpg")
