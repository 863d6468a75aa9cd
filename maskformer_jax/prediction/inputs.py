"""Finding the images to predict, and naming their result files."""

import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskformer_jax.errors import UserError
from maskformer_jax.file_search import files_below

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})


def find_images(inputs: Sequence[Path], *, output: Path) -> list[tuple[Path, Path]]:
    """The image files of `inputs`, each once, with its path relative to its input.

    Folders are searched recursively, in sorted order, through links; hidden files are left out.
    Files in `output` are skipped, so that a second run does not take the overlays of the first as
    input.

    Raises:
        UserError: an input does not exist, is not an image, or no image is found.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for given in expand_patterns(inputs):
        if given.is_dir():
            if given.resolve() == output.resolve():
                raise UserError(f"the output folder {output} is also an input; choose another one")
            for path in files_below(given):
                if (
                    path.suffix.lower() in IMAGE_SUFFIXES
                    and path.is_file()
                    and output.resolve() not in path.resolve().parents
                ):
                    found.setdefault(path.resolve(), (path, path.relative_to(given)))
        elif not given.exists():
            raise UserError(f"{given} does not exist; give image files or folders of images")
        elif given.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{given} is not an image; supported are {_suffix_list()}")
        else:
            found.setdefault(given.resolve(), (given, Path(given.name)))
    if not found:
        places = ", ".join(map(str, inputs)) or "no path at all"
        raise UserError(f"no image in {places}; supported are {_suffix_list()}")
    return list(found.values())


def expand_patterns(inputs: Sequence[Path]) -> list[Path]:
    """Replace patterns such as `photos/*.jpg` that no shell has expanded by what they match.

    A path that exists is taken as it is, whatever characters it has.

    Raises:
        UserError: a pattern matches nothing, or an input is a URL.
    """
    found: list[Path] = []
    for given in inputs:
        text = str(given)
        if re.match(r"[a-z][a-z0-9+.-]+:/", text):  # Path has made one slash of two
            raise UserError(f"{text} is a URL, which is not read; save it as a file first")
        if given.exists() or not glob.has_magic(text):
            found.append(given)
            continue
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207
        if not matches:
            raise UserError(f"nothing matches {text}")
        found += matches
    return found


def name_outputs(relative_paths: Iterable[Path]) -> list[str]:
    """A distinct name for each image: its path without suffix, extended if that is taken.

    The first of several images with the same name keeps it, the next gets its suffix (`a_png`),
    further ones get numbers. Case is ignored when comparing, as on some file systems.
    """
    taken: set[str] = set()
    names = []
    for path in relative_paths:
        plain = path.with_suffix("").as_posix()
        with_suffix = f"{plain}_{path.suffix[1:]}"
        name, number = plain, 1
        while name.casefold() in taken:
            name = with_suffix if number == 1 else f"{with_suffix}_{number}"
            number += 1
        taken.add(name.casefold())
        names.append(name)
    return names


def refuse_overwriting(targets: dict[Path, tuple[str, ...]], output: Path) -> None:
    """Check that no result would overwrite an input image.

    Args:
        targets: for each image the names of its result files.
        output: the folder of the results.

    Raises:
        UserError: a result has the path of an image.
    """
    images = {path.resolve() for path in targets}
    for names in targets.values():
        for name in names:
            if (output / name).resolve() in images:
                raise UserError(
                    f"{output / name} is an input and would be overwritten; "
                    "choose another output folder"
                )


def _suffix_list() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))
