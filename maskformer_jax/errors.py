"""The error for everything that the user can fix."""


class UserError(Exception):
    """Something outside the code is wrong: a file, a field, a value.

    The message names it and says what would be right. Commands print it as one line and exit
    with status 1, without a traceback.
    """
