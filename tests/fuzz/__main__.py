"""Try mutated files: `python -m tests.fuzz --cases N [--seed S] [--format NAME] [--jobs J] [--case FORMAT:NUMBER]`.

For each format it prints

    cases      how many files were tried
    accepted   how many were read and used without any error
    refused    how many gave a `UserError` of one line
    failed     all others: another exception, a sentence that is not one line, more than 5 seconds of the processor or
               15 of waiting, more than 1 GB allocated beyond what the valid file takes, or the end of the process
    slowest    seconds of the processor of the slowest case
    together   seconds of the processor of all cases

Failing inputs are written into the folder --out with what went wrong. The status is 1 if any case failed. A case
depends on the seed, its format and its number alone: `--case circuit:17 --seed S` tries one again.
"""

from __future__ import annotations

import argparse
import importlib
import math
import multiprocessing
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from tests.fuzz import material
from tests.fuzz.formats import FORMATS
from tests.fuzz.worker import Case, Outcome, attempt, case_of, run

PACKAGES = (
    "matplotlib.figure",
    "datasets",
    "pandas",
    "networkx",
    "optuna.storages.journal",
    "sparsegpt2.viewer.gather",
)
PACKAGES += ("sparsegpt2.commands.evaluate", "sparsegpt2.report.frontier", "train.state", "eval_tasks.bench.config")
"""What the formats' readers import."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=0, help="cases of all formats together")
    parser.add_argument("--each", type=int, default=0, help="cases of each format, fewer of slow ones")
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
        child = multiprocessing.get_context("fork").Process(
            target=material.make, args=(made,)
        )  # leaves no threads here
        child.start()
        child.join()
        if child.exitcode:
            return 1
        if options.case:
            return again(made, options.case, options.seed)
        return report(made, options)


def again(made: Path, name: str, seed: int) -> int:
    """Try one case in this process, without limits, and print what became of it."""
    form, _, number = name.partition(":")
    case = numbered(form, int(number), seed)
    outcome = attempt(case, made, FORMATS[form].valid(made))
    print(f"{name}: {outcome.result}\n{outcome.says}")
    return int(outcome.result == "failed")


def numbered(form: str, number: int, seed: int) -> Case:
    """The case of that number."""
    return Case(form, f"{form}:{number}", lambda valid: case_of(form, number, seed, valid))


def planned(options: argparse.Namespace, names: list[str]) -> list[Case]:
    """The cases to try: so many of each format, and those in the folder of inputs."""
    total = sum(FORMATS[name].share for name in names)
    cases = []
    for name in names:
        count = math.ceil((options.each or options.cases / total) * FORMATS[name].share)
        cases += [numbered(name, number, options.seed) for number in range(count)]
        for file in sorted(options.inputs.resolve().glob(f"{name}-*")) if options.inputs else ():
            cases.append(Case(name, file.name, lambda _, file=file: file.read_bytes()))
    return cases


def report(made: Path, options: argparse.Namespace) -> int:
    """Try all cases, print the table, and write the failing inputs."""
    names = options.format or list(FORMATS)
    cases = {case.name: case for case in planned(options, names)}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: dict[str, list[float]] = defaultdict(lambda: [0.0])
    for outcome in run(made, list(cases.values()), options.jobs):
        counts[outcome.form][outcome.result] += 1
        seconds[outcome.form].append(outcome.seconds)
        if outcome.result == "failed":
            _keep(options.out, outcome, cases, made)
            print(f"FAILED {outcome.case}: {outcome.says.splitlines()[0][:200]}", flush=True)
    heads = ("cases", "accepted", "refused", "failed", "slowest", "together")
    print(f"{'format':<18}{''.join(f'{head:>10}' for head in heads)}")
    for name in names:
        print(_line(name, counts[name], seconds[name]))
    everything = sum(counts.values(), Counter())
    print(_line("all", everything, [one for of_form in seconds.values() for one in of_form]))
    return int(everything["failed"] > 0)


def _line(name: str, counts: Counter[str], seconds: list[float]) -> str:
    numbers = (counts.total(), counts["accepted"], counts["refused"], counts["failed"])
    return f"{name:<18}{''.join(f'{n:>10,}' for n in numbers)}{max(seconds):>9.2f}s{sum(seconds):>9.1f}s"


def _keep(out: Path, outcome: Outcome, cases: dict[str, Case], made: Path) -> None:
    """Write a failing input and what went wrong."""
    out.mkdir(parents=True, exist_ok=True)
    stem = outcome.case.replace(":", "-").replace(" ", "_")
    text = f"{outcome.form}, {outcome.case}\n{outcome.says}\n"
    (out / f"{stem}.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    if outcome.case in cases:
        content = cases[outcome.case].content(FORMATS[outcome.form].valid(made))
        if isinstance(content, bytes):
            (out / f"{stem}.bin").write_bytes(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
