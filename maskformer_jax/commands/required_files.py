"""Files that a run needs, looked for before anything is built."""

from pathlib import Path

from maskformer_jax.config import Config
from maskformer_jax.errors import UserError
from maskformer_jax.remote.address import is_address


def require_data(config: Config) -> None:
    """Check that the folder of the data set exists; an empty `data.root` is refused elsewhere.

    Raises:
        UserError: there is no such folder, or it is an address; names the field.
    """
    root = config.data.root
    if is_address(root):
        raise UserError(
            f"config.data.root is {root!r}, but data is read from folders only; mount the bucket "
            "(gcsfuse, mount-s3, rclone mount) or copy the data, and give the path"
        )
    if root and not Path(root).expanduser().is_dir():
        raise UserError(
            f"config.data.root is {root!r}, but there is no such folder; docs/datasets.md says "
            "where the data comes from"
        )


def require_backbone_file(config: Config) -> None:
    """Check that the file of ImageNet weights exists, if the config names one.

    Raises:
        UserError: there is no such file; names the field.
    """
    file = config.train.init_backbone
    if config.train.init_checkpoint:
        return
    if file and not Path(file).expanduser().exists():
        raise UserError(
            f"config.train.init_backbone is {file!r}, but there is no such file; "
            "docs/checkpoints.md says where it comes from"
        )
