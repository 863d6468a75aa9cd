"""Addresses of objects, and the file system that reads them."""

import re
from typing import Any

from maskformer_jax.errors import UserError

_ADDRESS = re.compile(r"(gs|s3)://[^/]+/.+")
_PACKAGES = {"gs": "gcsfs", "s3": "s3fs"}


def is_address(text: str) -> bool:
    """Whether a text is an address of an object store rather than a path."""
    return text.startswith(("gs://", "s3://"))


def open_store(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path on it.

    Credentials, regions and endpoints come from the environment, as the store's own tools read
    them (AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, ...).

    Raises:
        UserError: the address is incomplete, or the package for the store is not installed.
    """
    import fsspec

    if not _ADDRESS.fullmatch(address):
        raise UserError(f"{address}: should be gs://BUCKET/FOLDER or s3://BUCKET/FOLDER")
    kind = address.partition(":")[0]
    try:
        store, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise UserError(
            f"{address} needs {_PACKAGES[kind]}: pip install {_PACKAGES[kind]}"
        ) from error
    return store, path.rstrip("/")
