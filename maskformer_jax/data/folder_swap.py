"""Images where label maps should be, and the other way round."""

from itertools import islice
from pathlib import Path

from maskformer_jax.data.folder import Listing
from maskformer_jax.data.images import is_grey
from maskformer_jax.errors import UserError
from maskformer_jax.file_search import files_below

_LOOKED_AT = 5  # files of each folder


def describe_swap(listing: Listing) -> str | None:
    """What is wrong if all label maps looked at are coloured and all images are not; else None.

    A palette counts as neither: both kinds of file may have one.
    """
    images = [_has_values(path) for path in islice(files_below(listing.image_dir), _LOOKED_AT)]
    labels = [_has_values(path) for path in islice(files_below(listing.label_dir), _LOOKED_AT)]
    if not images or not labels or not all(images) or any(value is not False for value in labels):
        return None
    return (
        f"the images in {listing.image_dir} have one channel, and the label maps in "
        f"{listing.label_dir} have colours: masks look like images; are the folders swapped?"
    )


def _has_values(path: Path) -> bool | None:
    try:
        return is_grey(path.read_bytes(), name=str(path))
    except (OSError, UserError):
        return None
