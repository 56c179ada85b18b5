"""The folder of a run: whether a command may write into it, and the settings recorded there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from sparsegpt2.config import to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.files import inside, read_json, write_text
from sparsegpt2.model.checkpoint import CONFIG as MODEL_CONFIG
from sparsegpt2.model.checkpoint import MODEL
from sparsegpt2.settings.yaml_file import read_yaml
from train.config import TrainConfig
from train.log import METRICS
from train.state import LAST, saved_at

CONFIG = "config.yaml"
MAY_CHANGE = ("device", "threads", "data_folder", "checkpoint_every")
"""Settings that may differ when a run is resumed; `tokens` may also grow."""


def check_folder(out: Path, config: TrainConfig) -> None:
    """`UserError` unless a run with the settings `config` may begin or resume in `out`. Nothing is written.

    If `out` holds a checkpoint, the run that saved it must have had the same settings, except for those that may
    change. If `out` holds no checkpoint but has other output of training, it must also have the config.yaml of a run.
    """
    MODEL.check(out / "best")
    LAST.check(out / "last")
    for name in (METRICS, "tensorboard"):
        inside(out, name)
    last = saved_at(out / "last")
    recorded = read_settings(out)
    if last is None:
        for name in ("best", METRICS, "tensorboard"):
            if recorded is None and (out / name).exists():
                raise UserError(f"{out / name} exists but belongs to no run: there is no {CONFIG}; name another --out")
        return
    for source, then in ((CONFIG, recorded), (f"last/{MODEL_CONFIG}", trained_with(last))):
        if then is not None:
            check_same(out, source, then, config)


def check_same(out: Path, source: str, then: dict[str, Any], config: TrainConfig) -> None:
    """`UserError` if a setting that may not change differs between `then` and `config`.

    It names the first such setting, with its old and new value. then: the settings recorded in the file `source` of
    `out`.
    """
    usual = plain(to_dict(TrainConfig(model=config.model)))  # defaults, for settings added since the run began
    changes = list(differences({**usual, **then}, plain(to_dict(config))))
    refused = [
        (key, old, new)
        for key, old, new in changes
        if key not in MAY_CHANGE and not (key == "tokens" and isinstance(old, int) and new > old)
    ]
    if refused:
        key, old, new = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise UserError(
            f"{out} holds a run with other settings: {key} is {short(old)}, now {short(new)}{more} ({source}); "
            "choose another --out, or delete that run"
        )


def differences(then: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, old value, new value) of each value that differs between two nested dicts or lists.

    key: the dotted key of `then` and `now` themselves; empty for the outermost.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for name in [*then, *(name for name in now if name not in then)]:
            yield from differences(then.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, (old, new) in enumerate(zip(then, now, strict=True)):
            yield from differences(old, new, f"{key}.{index}")
    elif then != now:
        yield key, then, now


def read_settings(out: Path) -> dict[str, Any] | None:
    """The settings in the config.yaml of a run folder; None if it is missing, `UserError` if it is not a run's."""
    path = out / CONFIG
    try:
        values = read_yaml(path) if path.exists() else None
    except UserError:
        values = {}
    if values is None:
        return None
    if not isinstance(values, dict) or not {"model", "sparsity", "data"} <= set(values) <= known():
        raise UserError(f"{path} is damaged, or not the settings of a run; restore it, or name another --out")
    return values


def known() -> set[str]:
    """Names of all top-level settings of a run."""
    return {field.name for field in fields(TrainConfig)}


def trained_with(last: Path) -> dict[str, Any] | None:
    """The settings of the run that saved `last`, as recorded in the checkpoint; None if it has no record."""
    header = read_json(last / MODEL_CONFIG, "model config")
    info = header.get("info") if isinstance(header, dict) else None
    found = info.get("train") if isinstance(info, dict) else None
    return found if isinstance(found, dict) else None


def record_settings(out: Path, config: TrainConfig, step: int) -> None:
    """Write config.yaml. If the number of tokens has changed, a comment in it records the old number and the step.

    step: number of steps that the run has done.
    """
    path, text = out / CONFIG, yaml.safe_dump(plain(to_dict(config)), sort_keys=False)
    recorded = read_settings(out)
    if recorded is not None:
        history = [line for line in path.read_text(encoding="utf-8").split("\n") if line.startswith("# ")]
        if step and recorded.get("tokens") != config.tokens:
            history.append(f"# tokens: {recorded.get('tokens')} until step {step}, then {config.tokens}")
        text = "".join(f"{line}\n" for line in history) + text
        if text == path.read_text(encoding="utf-8"):
            return
    write_text(path, text)


def leave_folder(out: Path) -> None:
    """Remove a run's folder if it holds only the recorded settings."""
    if out.is_dir() and [path.name for path in out.iterdir()] == [CONFIG]:
        (out / CONFIG).unlink()
        out.rmdir()


def plain(value: Any) -> Any:
    """The value with lists in place of tuples, for which YAML has no plain notation."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def short(value: Any) -> str:
    """A value as text, cut to 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
