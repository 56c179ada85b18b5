"""Models on the Hugging Face hub, named `hf:user/name` or `hf:user/name@revision`.

The package `huggingface_hub` does the downloads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sparsegpt2.errors import UserError

PREFIX = "hf:"
Result = TypeVar("Result")


def is_name(name: str) -> bool:
    """Whether `name` has the form of a repository on the hub: `name` or `user/name`, optionally with `@revision`."""
    part = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    return re.fullmatch(rf"({part}/)?{part}(@[^@\s]+)?", name) is not None


def download(name: str, files: Sequence[str]) -> Path:
    """Download `files` from the repository `name`, and return the local folder with those that the repository has.

    If the hub cannot be reached, the folder of an earlier download is used. name: `user/name`, optionally with
    `@revision` (a branch, tag or commit). `UserError` if the repository cannot be fetched and was not fetched before.
    """
    hub = client()
    if not is_name(name):
        raise UserError(
            f"{PREFIX}{name} is not a model on the hub; write {PREFIX}user/name or {PREFIX}user/name@revision"
        )
    repository, _, revision = name.partition("@")
    patterns = list(files)
    found = asking(name, lambda: hub.snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
    return Path(found)


def asking(name: str, question: Callable[[], Result]) -> Result:
    """Call `question`, a function that sends a request to the hub, and return its result.

    `UserError`, which mentions `name`, if the hub refuses, has no such repository or cannot be reached.
    """
    errors = client().errors
    try:
        return question()
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"{PREFIX}{name} cannot be fetched: the hub cannot be reached, and this machine has no copy of the model"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{PREFIX}{name}: the hub has no such revision of it") from None
    except errors.GatedRepoError:
        raise UserError(f"{PREFIX}{name} is gated: request access on the hub and log in with `hf auth login`") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{PREFIX}{name} is not on the hub, or you have no access to it; "
            f"if it is private, log in with `hf auth login`"
        ) from None
    except errors.HfHubHTTPError as error:
        status = "" if error.response is None else f" with status {error.response.status_code}"
        raise UserError(f"{PREFIX}{name}: the hub refused{status}; log in with `hf auth login`") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{PREFIX}{name}: the hub cannot be reached ({type(error).__name__})") from None


def client() -> Any:
    """The package `huggingface_hub`, imported; `UserError` if it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise UserError("models on the hub need the package huggingface_hub: pip install huggingface_hub") from None
    return huggingface_hub
