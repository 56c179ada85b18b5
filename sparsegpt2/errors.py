"""The exceptions for mistakes that a user can correct."""

from __future__ import annotations

LONGEST = 1000
"""Most characters of an error's sentence. What is quoted in it may come from a file, and be of any length."""


class UserError(ValueError):
    """A user's mistake, in one sentence: what was wrong and what would be right.

    The command line prints the sentence and exits with status 2. In Python it is a `ValueError`. The sentence is one
    line of printable characters, whatever it quotes.
    """

    def __init__(self, sentence: object = "") -> None:
        super().__init__(one_line(str(sentence)))


class UserTypeError(UserError, TypeError):
    """A value of the wrong type, such as floats for token ids; a `TypeError` too."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """`text` without line ends and control characters, and without its middle if it is longer than `longest`."""
    if len(text) > longest:
        text = f"{text[: longest - 300]} ... {text[-290:]}"
    if text.isprintable():
        return text
    lines = text.replace("\n", " ").replace("\t", " ")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in lines)
