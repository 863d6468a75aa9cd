"""Joint resizing, cropping, flipping and padding of an image and its label map or id map.

The operations and their order are those of the published semantic and ADE20K panoptic mappers. All
are pure functions: randomness comes only from the generator that is passed in.
"""

import numpy as np
from jaxtyping import Int, Int32, Int64, Shaped, UInt8
from PIL import Image

from maskformer_jax.config import AugmentConfig
from maskformer_jax.data.color import distort_color, draw_distortion
from maskformer_jax.data.example import VOID_ID
from maskformer_jax.types import VOID, Size

PAD_COLOR = 128  # in every channel, before normalisation


def augment(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Int32[np.ndarray, "h w"],
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    is_id_map: bool = False,
) -> tuple[UInt8[np.ndarray, "ch cw 3"], Int32[np.ndarray, "ch cw"]]:
    """Resize, crop, distort colours, flip and pad an image to `config.crop_size`.

    Args:
        image: of any size.
        label_map: labels or segment ids, of the same size.
        config: the recipe.
        rng: source of all randomness.
        is_id_map: whether the map holds the segment ids of a panoptic annotation, which are
            resized by another rule (`resize_id_map`) and padded with 0 instead of -1.
    """
    short_edge = config.short_edges[rng.integers(len(config.short_edges))]
    size = shortest_edge_size(image.shape[:2], short_edge, config.max_size)
    rows, columns = draw_crop(size, config.crop_size, rng)
    image = resize_image(image, size)[rows, columns]
    resize_map = resize_id_map if is_id_map else resize_label_map
    label_map = resize_map(label_map, size)[rows, columns]
    if config.color:
        image = distort_color(np.ascontiguousarray(image), draw_distortion(rng))
    if config.flip and rng.random() < 0.5:
        image, label_map = image[:, ::-1], label_map[:, ::-1]
    void = VOID_ID if is_id_map else VOID
    return pad_to(image, config.crop_size, PAD_COLOR), pad_to(label_map, config.crop_size, void)


def shortest_edge_size(size: tuple[int, ...], short_edge: int, max_size: int) -> Size:
    """Scale a size to a shorter side of `short_edge`, or less if the longer side exceeds the bound.

    Args:
        size: (height, width) of the image.
        short_edge: desired length of the shorter side.
        max_size: upper bound on the longer side.
    """
    sizes = shortest_edge_sizes(np.array([size]), np.array([short_edge]), float(max_size))
    height, width = sizes[0].tolist()
    return height, width


def shortest_edge_sizes(
    sizes: Int[np.ndarray, "n 2"], short_edges: Int[np.ndarray, " n"], max_size: float
) -> Int64[np.ndarray, "n 2"]:
    """Compute `shortest_edge_size` for n images; `max_size` may be infinite."""
    scale = short_edges / sizes.min(axis=1)
    new = scale[:, None] * sizes
    # The shorter side is assigned, so that rounding cannot change it.
    shorter = np.where(sizes[:, 0] < sizes[:, 1], 0, 1)
    new[np.arange(len(new)), shorter] = short_edges
    longer = new.max(axis=1)
    shrink = np.where(longer > max_size, max_size / longer, 1.0)
    # A side of very long images may round to zero pixels.
    return np.maximum((new * shrink[:, None] + 0.5).astype(np.int64), 1)


def resize_image(
    image: UInt8[np.ndarray, "h w 3"], size: Size
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Resize with Pillow's bilinear filter, which is antialiased when shrinking.

    Each pass rounds to 8 bits, so their order shows in the last bit. All versions of Pillow that
    the published models ran with do columns first; newer ones do rows first where that is faster.
    """
    if image.shape[:2] == size:
        return image
    height, width = size
    picture = Image.fromarray(image)
    for new_size in ((width, image.shape[0]), (width, height)):
        picture = picture.resize(new_size, Image.Resampling.BILINEAR)
    return np.array(picture)


def resize_label_map(
    label_map: Shaped[np.ndarray, "h w"], size: Size
) -> Shaped[np.ndarray, "new_h new_w"]:
    """Resize by torch's nearest rule for float64 maps, as the published semantic mapper does."""
    if label_map.shape == size:
        return label_map
    rows = _nearest_indices(label_map.shape[0], size[0], single=sum(size) <= 128)
    columns = _nearest_indices(label_map.shape[1], size[1], single=sum(size) <= 128)
    return label_map[rows[:, None], columns]


def resize_id_map(
    id_map: Shaped[np.ndarray, "h w"], size: Size
) -> Shaped[np.ndarray, "new_h new_w"]:
    """Resize by Pillow's nearest rule, as the published panoptic mappers do.

    The map must be int32 or uint8, for which Pillow has modes.
    """
    if id_map.shape == size:
        return id_map
    height, width = size
    return np.array(Image.fromarray(id_map).resize((width, height), Image.Resampling.NEAREST))


def draw_crop(size: Size, crop_size: Size, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw the position of a crop uniformly; the crop is smaller where the image is smaller."""
    rows, columns = (
        slice(start, start + min(wanted, available))
        for wanted, available in zip(crop_size, size, strict=True)
        for start in [int(rng.integers(max(available - wanted, 0), endpoint=True))]
    )
    return rows, columns


def pad_to(
    array: Shaped[np.ndarray, "h w *c"], size: Size, value: int
) -> Shaped[np.ndarray, "new_h new_w *c"]:
    """Pad an array to `size` at the bottom and right; the result is always a new array."""
    height, width = array.shape[:2]
    padded = np.full((*size, *array.shape[2:]), value, array.dtype)
    padded[:height, :width] = array
    return padded


def _nearest_indices(in_size: int, out_size: int, *, single: bool) -> np.ndarray:
    # floor(i * in / out) with torch's rounding. Of its two kernels for float64 maps, the one for
    # small outputs multiplies in single precision.
    index = np.arange(out_size)
    if single:
        position = index.astype(np.float32) * np.float32(in_size / out_size)
    else:
        position = (index * (in_size / out_size)).astype(np.float32)
    return np.minimum(np.floor(position).astype(np.int64), in_size - 1)
