"""The one exception for mistakes a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """A user's mistake, told in one sentence: what was wrong and what would be right.

    The command line prints the sentence and exits with status 2; library callers catch it like any exception.
    """
