"""The layout of a data set from its folder, or from one of its files."""

from pathlib import Path

from maskformer_jax.data.detect.coco import find_coco
from maskformer_jax.data.detect.folders import require_folders
from maskformer_jax.data.detect.found import Found
from maskformer_jax.errors import UserError


def detect(data: Path) -> Found:
    """Find out how a data set is laid out, which parts it has and which classes.

    Args:
        data: its folder, or a JSON file in COCO's format.

    Raises:
        UserError: there is no such folder, or nothing in it is known; says what would be.
    """
    if not data.exists():
        raise UserError(f"{data}: there is no such folder or file")
    found = find_coco(data)
    if found is not None:
        return found
    if data.is_file():
        raise UserError(f"{data}: is no JSON file in COCO's format; give the folder of the data")
    return require_folders(data)
