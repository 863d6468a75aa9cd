"""Pictures arranged in a row."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from maskformer_jax.visualize.text import INK, PAPER, font_for, line_height


def side_by_side(
    panels: Sequence[UInt8[np.ndarray, "h w 3"]], titles: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Arrange pictures of equal size in a row, each below its title."""
    height, width = panels[0].shape[:2]
    font = font_for((height, width))
    gap, title_height = line_height(font) // 2, round(1.5 * line_height(font))
    canvas = Image.new("RGB", (len(panels) * (width + gap) - gap, title_height + height), PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        left = index * (width + gap)
        draw.text((left + width / 2, title_height / 2), title, fill=INK, font=font, anchor="mm")
        canvas.paste(Image.fromarray(panel), (left, title_height))
    return np.array(canvas)
