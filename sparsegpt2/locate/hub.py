"""Models by their names on the Hugging Face hub: `hf:user/name` or `hf:user/name@revision`, by `huggingface_hub`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sparsegpt2.errors import UserError

PREFIX = "hf:"
Result = TypeVar("Result")


def is_name(name: str) -> bool:
    """Whether `name` could be a repository on the hub: `name` or `user/name`, perhaps with `@revision`."""
    part = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    return re.fullmatch(rf"({part}/)?{part}(@[^@\s]+)?", name) is not None


def download(name: str, files: Sequence[str]) -> Path:
    """A directory that holds those of `files` that the repository `name` has; from the cache when the hub is away.

    name: `user/name`, perhaps with `@revision` (a branch, tag or commit). `UserError` where it cannot be had.
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
    """What the hub answers; a refusal, an unknown repository or an unreachable hub is a `UserError` about `name`."""
    errors = client().errors
    try:
        return question()
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"{PREFIX}{name} cannot be fetched: the hub cannot be reached and no copy of it is on this machine"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{PREFIX}{name}: the hub knows no such revision") from None
    except errors.GatedRepoError:
        raise UserError(f"{PREFIX}{name} is gated: ask for access on the hub and log in with `hf auth login`") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{PREFIX}{name} is not on the hub, or you may not see it; log in with `hf auth login` if it is private"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no"
        raise UserError(f"{PREFIX}{name}: the hub refused with status {status}; log in with `hf auth login`") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{PREFIX}{name}: the hub cannot be reached ({type(error).__name__})") from None


def client() -> Any:
    """The package `huggingface_hub`; `UserError` when it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise UserError("models on the hub need the package huggingface_hub: pip install huggingface_hub") from None
    return huggingface_hub
