"""Try mutated files: `python -m tests.fuzz --cases N [--seed S] [--format NAME] [--jobs J] [--case FORMAT:NUMBER]`.

For each format it prints: how many cases were tried; how many were accepted (read and used), refused (a `UserError` of
one line) and failed; and the seconds of the slowest case that ended. A case fails by any other exception, by a refusal
that is not one line, after 5 seconds of the processor or 15 in all, by allocating more than 1 GB beyond the valid file,
and by ending its process. Failing inputs are written into --out with what went wrong. The status is 1 if any case
failed. A case depends on the seed, its format and its number alone; `--case circuit:17 --seed S` tries one again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.fuzz import material
from tests.fuzz.formats import FORMATS
from tests.fuzz.worker import Outcome, attempt, case_of, run

PACKAGES = ("matplotlib.figure", "datasets", "pandas", "networkx", "optuna.storages.journal", "sparsegpt2.viewer.gather")
PACKAGES += ("sparsegpt2.commands.evaluate", "sparsegpt2.report.frontier", "train.state", "eval_tasks.bench.config")
"""What the formats' readers import."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=0, help="cases of all formats together")
    parser.add_argument("--each", type=int, default=0, help="cases of each format, whatever they cost")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", action="append", choices=[*FORMATS], help="only this format; may be given again")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--case", default="", help="FORMAT:NUMBER, one case again")
    parser.add_argument("--inputs", type=Path, help="a folder of files named FORMAT-*, to try as they are")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="folder for failing inputs")
    options = parser.parse_args(arguments)
    for package in PACKAGES:  # once, instead of in every process
        importlib.import_module(package)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        made = Path(folder) / "material"
        child = multiprocessing.get_context("fork").Process(target=material.make, args=(made,))  # leaves no threads here
        child.start()
        child.join()
        if child.exitcode:
            return 1
        if options.case:
            return again(made, options.case, options.seed)
        return report(made, options)


def again(made: Path, case: str, seed: int) -> int:
    """Try one case in this process, with no limits, and print what became of it."""
    name, _, number = case.partition(":")
    content = case_of(name, int(number), seed, FORMATS[name].valid(made))
    outcome = attempt(FORMATS[name], made, case, content)
    print(f"{case}, {content if isinstance(content, str) else f'{len(content)} bytes'}: {outcome.result}\n{outcome.says}")
    return int(outcome.result == "failed")


def report(made: Path, options: argparse.Namespace) -> int:
    """Try all cases, print the table, and write the failing inputs."""
    work: list[tuple[str, list[tuple[str, Any]]]] = []
    names = options.format or list(FORMATS)
    total = sum(FORMATS[name].share for name in names)
    for name in names:
        count = options.each or round(options.cases * FORMATS[name].share / total)
        work.append((name, [(f"{name}:{number}", _maker(name, number, options.seed)) for number in range(count)]))
    for file in sorted(options.inputs.iterdir()) if options.inputs else ():
        name = file.name.split("-")[0]
        if name in names:
            work.append((name, [(file.name, lambda _, file=file: file.read_bytes())]))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    failures: list[tuple[str, Outcome]] = []
    makers = {case: make for _, cases in work for case, make in cases}
    for name, outcome in run(made, work, options.jobs):
        counts[name][outcome.result] += 1
        slowest[name] = max(slowest[name], outcome.seconds)
        if outcome.result == "failed":
            failures.append((name, outcome))
            _keep(options.out, name, outcome, makers, made)
            print(f"FAILED {outcome.case}: {outcome.says.splitlines()[0][:200]}", flush=True)
    print(f"{'format':<18}{'cases':>8}{'accepted':>10}{'refused':>9}{'failed':>8}{'slowest':>9}")
    for name in names:
        one = counts[name]
        print(f"{name:<18}{one.total():>8}{one['accepted']:>10}{one['refused']:>9}{one['failed']:>8}{slowest[name]:>8.2f}s")
    everything = sum(counts.values(), Counter())
    print(f"{'all':<18}{everything.total():>8}{everything['accepted']:>10}{everything['refused']:>9}{len(failures):>8}")
    return int(bool(failures))


def _maker(name: str, number: int, seed: int) -> Any:
    return lambda valid: case_of(name, number, seed, valid)


def _keep(out: Path, name: str, outcome: Outcome, makers: dict[str, Any], made: Path) -> None:
    """Write a failing input and what went wrong."""
    out.mkdir(parents=True, exist_ok=True)
    stem = outcome.case.replace(":", "-").replace(" ", "_").replace("/", "_")
    (out / f"{stem}.txt").write_text(f"{outcome.case}\n{outcome.says}\n", encoding="utf-8", errors="backslashreplace")
    if outcome.case in makers:
        content = makers[outcome.case](FORMATS[name].valid(made))
        if isinstance(content, bytes):
            (out / f"{stem}.bin").write_bytes(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
