"""The exceptions for mistakes a user can mend."""

from __future__ import annotations


class UserError(ValueError):
    """A user's mistake, told in one sentence: what was wrong and what would be right.

    The command line prints the sentence and exits with status 2. In Python it is a `ValueError`, as for any function
    that is given what it cannot use.
    """


class UserTypeError(UserError, TypeError):
    """A value of the wrong type, such as floats for token ids; a `TypeError` too."""
