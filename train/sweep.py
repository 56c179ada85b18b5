"""`sparsegpt2 train CONFIG --sweep '{optimizer.lr: [5e-3, 1e-2]}'`: train every combination, and name the best one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.lock import locked
from sparsegpt2.results import aligned, write_table
from train.config import TrainConfig
from train.side_by_side import in_a_lane, lanes_for, results_of, train_all

TABLE = "sweep.csv"
LINKED = ("best", "config.yaml", "metrics.jsonl")
"""Links in a sweep's folder to the files of its best run, so that the sweep's folder can be used like a run's."""

Choice = tuple[tuple[str, Any], ...]
"""(setting, value) pairs of one run, one for every setting that is swept."""


def sweep(grid: Mapping[str, Sequence[Any]], out: Path, configure: Callable[[list[str]], TrainConfig]) -> Path:
    """Train every combination of the values in `grid` (dotted setting -> values), each in its own folder in `out`.

    configure: a function from flags to the settings of a run. The flags override its other settings. On a CPU,
    one run trains on each core at the same time. Runs resume when the same sweep is started again. Writes
    out/sweep.csv, prints it, and makes out/best a link to the best model by held-out loss; returns out/best.
    `UserError` for a setting without values or an unknown setting (before anything is trained), or if no run finishes.
    """
    choices = combinations(grid)
    runs = {out / name(choice): in_a_lane(configure(flags(choice))) for choice in choices}
    with locked(out, "sweep's folder"):
        for part in LINKED:
            require_free(out / part)
        return _sweep(choices, runs, out)


def _sweep(choices: Sequence[Choice], runs: Mapping[Path, TrainConfig], out: Path) -> Path:
    train_all(runs, lanes_for(next(iter(runs.values()))))
    found = [results_of(run, config) for run, config in runs.items()]
    lines = [line(choice, info) for choice, info in zip(choices, found, strict=True)]
    write_table(out / TABLE, lines)
    print("\n".join(["", *ranked(lines)]))
    losses = {run: info["held_out_loss"] for run, info in zip(runs, found, strict=True) if info is not None}
    if not losses:
        raise UserError(f"no run of the sweep in {out} finished; the message of each run is above")
    best = min(losses, key=lambda run: losses[run])
    for part in LINKED:
        link(out / part, best / part)
    print(f"best: {best.name}, held-out loss {losses[best]:.4f} nats per token")
    return out / "best"


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Choice]:
    """Every choice of one value for each setting; the last setting varies fastest."""
    for setting, values in grid.items():
        require(bool(values), f"the sweep has no value for {setting}; write {setting}: [a, b]")
        for value in values:
            plain = isinstance(value, str | int | float | bool)
            require(plain, f"the sweep's values of {setting} must be numbers or words, got {value!r}")
        require(len({str(value) for value in values}) == len(values), f"the sweep has a value of {setting} twice")
    return [tuple(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def name(choice: Choice) -> str:
    """The name of a run's folder: `optimizer.lr=0.01,seed=1`."""
    return ",".join(f"{setting}={value}" for setting, value in choice).replace(os.sep, "_")


def flags(choice: Choice) -> list[str]:
    """The choice as flags of `sparsegpt2 train`."""
    return [part for setting, value in choice for part in (f"--{setting}", str(value))]


def line(choice: Choice, info: dict[str, Any] | None) -> dict[str, Any]:
    """A row of the table. Its results are empty if the run did not finish."""
    measured = ("held_out_loss", "l0", "tokens", "seconds")
    return {**dict(choice), **{key: "" if info is None else info[key] for key in measured}}


def ranked(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table for the terminal: best run first, unfinished runs last."""
    best_first = sorted(lines, key=lambda entry: (entry["held_out_loss"] == "", entry["held_out_loss"] or 0.0))
    return aligned([list(lines[0]), *([shown(value) for value in entry.values()] for entry in best_first)])


def shown(value: Any) -> str:
    """A value as the table on the terminal shows it."""
    return "-" if value == "" else f"{value:.5g}" if isinstance(value, float) else str(value)


def require_free(path: Path) -> None:
    """`UserError` if there is something other than a link at `path`."""
    require(
        path.is_symlink() or not path.exists(),
        f"{path} is in the way: a sweep needs its own folder; name another --out",
    )


def link(path: Path, to: Path) -> None:
    """Make `path` a link to `to` in one step, replacing an older link."""
    require_free(path)
    temporary = path.with_name(f".{path.name}.link")
    temporary.unlink(missing_ok=True)  # left by a sweep that was killed at this point
    temporary.symlink_to(os.path.relpath(to, path.parent))
    os.replace(temporary, path)
