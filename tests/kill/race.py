"""Start the same command two or three times at once in one folder, and compare with a command that ran alone.

    python -m tests.kill.race --cases 1000 [--work train,bench] [--seed 0]

The starts are spread at random over the length of one run. One process must do the work; each other one must either be
told that the folder is in use (exit status 2) or come so late that nothing is left to do. The folder must then hold the
very files of a command that ran alone: nothing doubled, nothing lost.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.kill.__main__ import Case, Reference
from tests.kill.work import CHEAP, contents, differences

IN_USE = "is in use by process"


def race(work: str, reference: Reference, folder: Path, dice: random.Random) -> tuple[list[int], list[str]]:
    """One race: the exit statuses of its processes, and what is wrong, a line each."""
    case = Case(work, folder)
    processes = []
    for _ in range(dice.choice((2, 2, 3))):
        processes.append(case.start())
        # Half of the starts are as close as they can be, where the windows between two system calls are.
        time.sleep(dice.choice((0.0, dice.uniform(0, reference.seconds * 1.1))))
    statuses = [case.wait(process) for process in processes]
    wrong = differences(reference.files, contents(folder))
    if not set(statuses) <= {0, 2} or 0 not in statuses:
        wrong.append(f"the processes ended with {statuses}")
    if case.said().count(IN_USE) != statuses.count(2):
        wrong.append(f"{statuses.count(2)} were refused, but not each of them was told why")
    if "Traceback" in case.said():
        wrong.append("a traceback")
    return statuses, [*wrong, case.said()] if wrong else []


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kill.race", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", default="train,bench", help=f"Among {', '.join(CHEAP)}.")
    settings = parser.parse_args()
    work, dice, failed, ends = settings.work.split(","), random.Random(settings.seed), 0, Counter[str]()
    started = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="race-"))
    references = {name: Reference(name, home / f"{name}-whole") for name in work}
    for number in range(settings.cases):
        name = work[number % len(work)]
        folder = home / f"{name}-{number}"
        statuses, wrong = race(name, references[name], folder, dice)
        ends[f"{statuses.count(0)} ended, {statuses.count(2)} refused"] += 1
        if wrong:
            print(f"{number + 1}/{settings.cases}  {name}: WRONG", *wrong, sep="\n    ", flush=True)
        elif (number + 1) % 50 == 0:
            print(f"{number + 1}/{settings.cases}  {failed} wrong  {time.monotonic() - started:.0f} s", flush=True)
        failed += bool(wrong)
        shutil.rmtree(folder)
    shutil.rmtree(home)
    seconds = round(time.monotonic() - started)
    print(json.dumps({"races": settings.cases, "failed": failed, "ends": dict(ends), "seconds": seconds}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
