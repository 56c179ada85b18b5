"""The exceptions for mistakes that a user can correct."""

from __future__ import annotations


class UserError(ValueError):
    """A user's mistake, in one sentence: what was wrong and what would be right.

    The command line prints the sentence and exits with status 2. In Python it is a `ValueError`.
    """


class UserTypeError(UserError, TypeError):
    """A `UserError` for a value of the wrong type, such as floats for token ids. It is a `TypeError` too."""
