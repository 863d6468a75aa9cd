"""Names that become file names and must stay apart."""

from collections import Counter
from collections.abc import Sequence

from maskformer_jax.errors import UserError

_MAX_LISTED = 5


def require_unique(names: Sequence[str], *, what: str, where: str) -> None:
    """Raise a UserError if a name occurs twice."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        listed = ", ".join(f"'{name}'" for name in repeated[:_MAX_LISTED])
        more = f" and {len(repeated) - _MAX_LISTED} more" if len(repeated) > _MAX_LISTED else ""
        raise UserError(f"{where}: the {what} {listed}{more} occurs more than once; make it unique")


def inside_folder(name: str) -> str:
    """A name from data, such as an image id, as a relative path that stays in its folder.

    Levels that would lead out (`..`), to the root (an empty one) or to another drive are spelled in
    percent codes; other names are unchanged.
    """
    return "/".join(_safe_level(level) for level in name.split("/"))


def _safe_level(level: str) -> str:
    if level in ("", ".", ".."):
        return "%2E" * len(level) or "%2F"
    return "".join(f"%{ord(c):02X}" if c in "\\:" or ord(c) < ord(" ") else c for c in level)
