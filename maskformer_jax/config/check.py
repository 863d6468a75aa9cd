"""Check a config: first the type of each field, then the values, section by section."""

from collections.abc import Iterator

from maskformer_jax.config.fields import check_value, walk_fields
from maskformer_jax.config.schema import Config
from maskformer_jax.errors import UserError
from maskformer_jax.validation import raise_problems


def check_config(config: Config) -> None:
    """Check every field's type, then the values.

    Raises:
        UserError: lists all that is wrong at once.
    """
    raise_problems(list(_type_problems(config)) or config.problems())


def _type_problems(config: Config) -> Iterator[str]:
    for field in walk_fields(config):
        try:
            check_value(field.value, field.hint, path=field.path)
        except UserError as error:
            yield str(error)
