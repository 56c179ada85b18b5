"""The commands that are killed, each in a folder of its own that holds all it reads and writes; and what they leave."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

MODEL = Path(__file__).parents[1] / "formats" / "0.1" / "run"
TINY = {
    "model": {"vocab_size": 300, "context": 16, "n_layer": 1, "d_model": 32, "d_head": 8},
    "sparsity": {"density": 0.25, "min_alive": 2},
    "data": {"tokens": 20000, "vocab_size": 300, "held_out_fraction": 0.1, "tokenizer_bytes": 20000},
    "data_folder": "data",
    "tokens": 12 * 8 * 16,
    "batch_size": 8,
    "log_every": 1,
    "evaluations": 3,
    "checkpoint_every": 3,
    "threads": 1,
    **dict.fromkeys(("validation_tokens", "held_out_tokens", "means_tokens"), 256),
}
PRUNING = {"steps": 3, "pairs": 2, "validation_pairs": 4}
BENCH = {
    "tasks": ["if_equals", "single_double_quote"],
    "pruners": ["random", "node"],
    "target_losses": [20.0],
    "test_pairs": 4,
    "prune": PRUNING,
}
WORDS = [first + second for first in "badofimu" for second in ("ra", "ten", "sil", "ko")]
TIMES = {"seconds", "tokens_per_second", "sha256", "commit"}
"""Keys whose values tell the time or hang on one that does; checksums of files are compared by comparing the files."""


def text_and(folder: Path, files: dict[str, Any]) -> None:
    """Fill the folder of a case: a small corpus, and YAML files."""
    (folder / "text").mkdir()
    for i in range(24):
        lines = [f"def {WORDS[(i + n) % 31]}(a, b={n % 11}):\n    return a + {WORDS[n % 29]}\n\n" for n in range(40)]
        path = folder / "text" / f"{i:02d}.py"
        path.write_text("".join(lines))
        os.utime(path, (0, 0))  # prepared data know the times of the files they were made of
    for name, values in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(yaml.safe_dump(values))


def tiny(**changes: Any) -> dict[str, Any]:
    """Settings of the small run on the folder's own corpus."""
    return {**TINY, "data": {**TINY["data"], "corpora": [{"name": "files", "path": "text"}]}, **changes}


def has_tasks() -> dict[str, Any]:
    """Settings of a tiny model that can be benchmarked: with a tokenizer that knows the tasks' answers."""
    base = {**tiny(), "model": {**TINY["model"], "context": 64, "vocab_size": 768}}
    base["data"] = {**base["data"], "tokenizer": str(MODEL / "best" / "tokenizer.json")}
    return {name: value for name, value in base.items() if name != "data_folder"}


def family(folder: Path) -> None:
    """Two tiny models over one base."""
    base = has_tasks()
    files = {"family/base.yaml": base, "family/bench.yaml": BENCH}
    text_and(folder, files | {"family/one.yaml": {"seed": 1}, "family/two.yaml": {"seed": 2}})


def quickstart(folder: Path) -> None:
    """The quickstart's three models, tiny."""
    base = has_tasks()
    names = ("dense-32", "dense-48", "sparse-256")
    files = {f"quickstart/{name}.yaml": {**base, "optimizer": {"lr": 1e-3 * n}} for n, name in enumerate(names, 1)}
    text_and(folder, {**files, "quickstart/bench.yaml": {**BENCH, "pruners": ["random"]}})


WORK: dict[str, tuple[list[str], Callable[[Path], None]]] = {
    "train": (["train", "tiny.yaml", "--out", "out"], lambda folder: text_and(folder, {"tiny.yaml": tiny()})),
    "bench": (
        ["bench", str(MODEL), "bench.yaml", "--out", "out"],
        lambda folder: text_and(folder, {"bench.yaml": BENCH}),
    ),
    "prune": (
        ["prune", str(MODEL), "prune.yaml", "--task", "if_equals", "--out", "out/circuit.json"],
        lambda folder: text_and(folder, {"prune.yaml": {**PRUNING, "target_loss": 20.0}}),
    ),
    "evaluate": (
        ["evaluate", str(MODEL.parent / "circuit.json"), "--model", str(MODEL), "--out", "out/evidence.json"],
        lambda folder: text_and(folder, {}),
    ),
    "sweep": (
        ["train", "tiny.yaml", "--out", "out", "--sweep", "{optimizer.lr: [1e-3, 2e-2]}"],
        lambda folder: text_and(folder, {"tiny.yaml": tiny()}),
    ),
    "family": (["family", "family", "--out", "out"], family),
    "quickstart": (["quickstart", "--out", "out"], quickstart),
}
"""Name -> (arguments, what fills its folder)."""
CHEAP = ("train", "bench", "prune")
"""Those that start no other process."""


def contents(folder: Path) -> dict[str, Any]:
    """Every file below `folder` by name, as far as it must be the same in every run of the same command."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "tensorboard/" in name:
            continue  # times and process numbers; what it shows has a test of its own
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = content(path)
    return found


def content(path: Path) -> Any:
    """What is in a file, without times."""
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [without_times(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(path.open())]
    if path.suffix in (".html", ".png"):
        return len(path.read_bytes()) > 0
    return path.read_bytes()


def without_times(value: Any) -> Any:
    """A JSON value without what tells the time."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in TIMES}
        return {key: without_times(item) for key, item in kept.items()}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What is not as it must be, a line each."""
    lines = [f"{name} is missing" for name in expected if name not in found]
    lines += [f"{name} was left over" for name in found if name not in expected]
    for name in expected:
        one, other = expected[name], found.get(name, expected[name])
        if isinstance(one, list) and isinstance(other, list) and name.endswith(".jsonl") and "metrics" not in name:
            one, other = sorted(map(str, one)), sorted(map(str, other))  # rows of lanes, in either order
        if one != other:
            lines.append(f"{name} differs")
    return lines
