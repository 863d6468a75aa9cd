"""EXIF orientation: whether an annotation is for the image as stored or as turned."""

import io

from PIL import Image

from maskformer_jax.errors import UserError

_TAG = 0x0112
_SWAPPING = (5, 6, 7, 8)  # orientations that swap height and width
_TURNS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 90 degrees",
}


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened image; 1, as stored, without a tag."""
    return int(image.getexif().get(_TAG, 1))


def swaps_sides(image: Image.Image) -> bool:
    """Whether the EXIF orientation swaps height and width."""
    return read_orientation(image) in _SWAPPING


def require_clear_orientation(data: bytes, *, name: str) -> None:
    """Refuse an image whose annotation may be for it as stored or as turned by its EXIF tag.

    Sizes tell these apart where the tag swaps height and width of an image that is not square.

    Raises:
        UserError: they cannot; says what to do.
    """
    with Image.open(io.BytesIO(data)) as image:
        orientation = read_orientation(image)
        told_by_size = swaps_sides(image) and image.width != image.height
    if orientation not in _TURNS or told_by_size:
        return
    raise UserError(
        f"{name}: its EXIF tag says that it is {_TURNS[orientation]} (orientation {orientation}), "
        "and nothing shows whether its annotation was made for the image as stored or as turned. "
        "If as stored, remove the tag; if as turned, set config.data.trust_exif=True or save the "
        "image upright"
    )
