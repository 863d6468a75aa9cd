"""COCO-Stuff-10K: label maps from the MATLAB files of the distribution."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import UInt8

from maskformer_jax.data.images import check_same_size, read_bytes, read_image_size
from maskformer_jax.data.prepare.output import convert_all, new_paths, save_bytes, save_png
from maskformer_jax.errors import UserError

_SPLITS = ("train", "test")
_MAX_VALUE = 172  # 1 is unlabelled, 2..172 are the classes


def prepare_coco_stuff_10k(root: Path) -> None:
    """Write images_detectron2/<split> and annotations_detectron2/<split>.

    Label maps hold the matrix S minus 2: 0..170, and 255 for unlabelled.

    Args:
        root: the folder with images/NAME.jpg, annotations/NAME.mat and imageLists/{train,test}.txt.

    Raises:
        UserError: a file is missing, damaged or in another format, sizes differ, or writing fails.
    """
    targets = (root / "images_detectron2", root / "annotations_detectron2")
    with new_paths(*targets) as [image_dir, label_dir]:
        for split in _SPLITS:

            def convert(name: str, split: str = split) -> None:
                """Write an image and the label map from its MATLAB file."""
                image_path, mat_path = root / f"images/{name}.jpg", root / f"annotations/{name}.mat"
                labels = read_mat_labels(mat_path)
                size = read_image_size(image_path, name=str(image_path))
                check_same_size(size, labels.shape, name=f"{image_path} and {mat_path}")
                save_bytes(image_dir / split / f"{name}.jpg", read_bytes(image_path))
                save_png(label_dir / split / f"{name}.png", labels)

            names = _read_list(root / "imageLists" / f"{split}.txt")
            convert_all(names, convert, description=f"coco-stuff-10k {split}")


def read_mat_labels(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Read a MATLAB file: labels 0..170, 255 for unlabelled.

    Raises:
        UserError: the file is missing or damaged, or its matrix S has other values.
    """
    values = _read_matrix(path)
    if values.ndim != 2 or values.min(initial=1) < 1 or values.max(initial=1) > _MAX_VALUE:
        raise UserError(
            f"{path}: S must be a matrix of 1 (unlabelled) to {_MAX_VALUE}, as in COCO-Stuff-10K "
            f"v1.0, but has values {values.min()}..{values.max()}"
        )
    return values.astype(np.uint8) - np.uint8(2)  # 1 wraps around to 255


def _read_matrix(path: Path) -> np.ndarray:
    data = read_bytes(path)
    try:
        fields: dict[str, Any] = scipy.io.loadmat(io.BytesIO(data))
        return np.asarray(fields["S"])
    except NotImplementedError:
        return _read_hdf5(path, data)
    except Exception as error:  # the parser raises almost anything
        raise UserError(f"{path}: cannot be read as a MATLAB file with a matrix S ({error})") from (
            error
        )


def _read_hdf5(path: Path, data: bytes) -> np.ndarray:
    # MATLAB files of version 7.3 are HDF5, which SciPy does not read; matrices are transposed.
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"{path}: is a MATLAB file of version 7.3; to read it, `pip install h5py`"
        ) from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return np.asarray(file["S"]).T
    except Exception as error:
        raise UserError(f"{path}: cannot be read as a MATLAB file with a matrix S") from error


def _read_list(path: Path) -> list[str]:
    names = read_bytes(path).decode("utf-8", "replace").split()
    if not names:
        raise UserError(f"{path}: lists no images")
    return names
