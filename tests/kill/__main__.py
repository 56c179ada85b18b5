"""Kill commands at every kind of file operation and at random moments, run them again, and compare with a whole run.

    python -m tests.kill --cases 100 [--work train,bench,...] [--seed 0]

After each kill no process of the case may live on; then the same command must end well and leave the very files of a
command that was never killed: the same bits, no torn file and none left over. The commands run in forks of this
process, which has imported everything already.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from sparsegpt2 import cli, configs
from tests.kill import hook
from tests.kill.work import CHEAP, WORK, contents, differences

ROOT = Path(__file__).parents[2]
PATIENCE = 600
"""Seconds in which a command must end, and a killed one's children half of it."""


class Case:
    """A command in a folder of its own."""

    def __init__(self, work: str, folder: Path) -> None:
        self.work, self.folder, self.name = work, folder, f"{os.getpid()}-{time.monotonic_ns()}"
        self.arguments, fill = WORK[work]
        folder.mkdir(parents=True)
        fill(folder)

    def start(self, at: int = 0, number: int = signal.SIGKILL) -> int:
        """Start the command in a fork; it or a child gets the signal before the `at`-th file operation."""
        log = self.folder.with_suffix(".operations")
        log.write_bytes(b"")
        settings = {"KILL_LOG": str(log), "KILL_FOLDER": str(self.folder), "KILL_AT": str(at)}
        settings |= {"KILL_CONFIGS": str(self.folder)} if self.work == "quickstart" else {}
        settings |= {"KILL_SIGNAL": str(int(number)), "KILL_CASE": self.name}
        settings["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "kill" / "site"), str(ROOT)])
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            try:
                status = self._run(settings)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                status = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
            os._exit(status & 0xFF)
        return process

    def _run(self, settings: dict[str, str]) -> int:
        os.environ.update(settings)
        os.chdir(self.folder)
        said = os.open(self.folder.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        if self.work == "quickstart":
            configs.FOLDER = self.folder
        hook.install()
        try:
            return cli.run_commands("sparsegpt2", cli.COMMANDS, self.arguments)
        finally:
            sys.stdout.flush()

    def wait(self, process: int) -> int:
        """The status of the command, negative for a signal; it is ended when it hangs."""
        until = time.monotonic() + PATIENCE
        while True:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                return 999
            time.sleep(0.005)

    def orphans(self) -> list[int]:
        """Processes that the command started and which live."""
        mark = f"KILL_CASE={self.name}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes() and "Z" not in (entry / "stat").read_text().split()[2]:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def operations(self) -> str:
        return self.folder.with_suffix(".operations").read_text()

    def said(self) -> str:
        return self.folder.with_suffix(".said").read_text()[-3000:]


class Reference:
    """A command that was never killed: its files, its file operations, and how long it took."""

    def __init__(self, work: str, folder: Path) -> None:
        case = Case(work, folder)
        if work in CHEAP:  # once in this process, so that forks find everything imported and compiled
            warm_up(work, folder.with_name(f"{folder.name}-warm"))
        started = time.monotonic()
        status = case.wait(case.start())
        if status:
            raise SystemExit(f"{work} does not even end well when nothing kills it ({status}):\n{case.said()}")
        self.seconds = time.monotonic() - started
        self.files, self.operations = contents(folder), case.operations()


def warm_up(work: str, folder: Path) -> None:
    """Run a command here."""
    case, here = Case(work, folder), Path.cwd()
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        cli.run_commands("sparsegpt2", cli.COMMANDS, case.arguments)
    os.chdir(here)
    shutil.rmtree(folder)


def run_case(work: str, reference: Reference, folder: Path, dice: random.Random) -> tuple[str, list[str]]:
    """One command, killed once or twice; (how, what is wrong)."""
    case = Case(work, folder)
    told, wrong = [], []
    for _ in range(dice.choice((1, 1, 2))):
        number = dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        if dice.random() < 0.7:  # at an operation of a kind drawn first, so that rare kinds have their share
            kind = dice.choice(sorted(set(reference.operations)))
            places = [place for place, letter in enumerate(reference.operations, 1) if letter == kind]
            at = dice.choice(places)
            told.append(f"{number.name} at operation {at} ({kind})")
            status = case.wait(case.start(at, number))
        else:
            delay = dice.uniform(0, reference.seconds)
            told.append(f"{number.name} after {delay:.2f} s")
            process = case.start()
            time.sleep(delay)
            os.kill(process, number)
            status = case.wait(process)
        if (number == signal.SIGKILL and status == 1) or status == 999:
            wrong.append(f"the killed command ended with {status}")
        until = time.monotonic() + PATIENCE / 2
        while case.orphans() and time.monotonic() < until:
            time.sleep(0.05)
        for orphan in case.orphans():
            wrong.append(f"process {orphan} lives on")
            os.kill(orphan, signal.SIGKILL)
    status = case.wait(case.start())
    if status:
        wrong.append(f"the same command ended with {status}:\n{case.said()}")
    if "Traceback" in case.said():
        wrong.append(f"a traceback:\n{case.said()}")
    wrong += differences(reference.files, contents(folder))
    return f"{work}: {', then '.join(told)}", wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", default=",".join(WORK), help=f"Among {', '.join(WORK)}; cheap: {','.join(CHEAP)}.")
    parser.add_argument("--keep", action="store_true", help="Keep the folders of cases that went wrong.")
    settings = parser.parse_args()
    work, dice, failed, kinds = settings.work.split(","), random.Random(settings.seed), 0, Counter()
    started = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="kill-"))
    references = {name: Reference(name, home / f"{name}-whole") for name in work}
    for number in range(settings.cases):
        name = work[number % len(work)]
        folder = home / f"{name}-{number}"
        told, wrong = run_case(name, references[name], folder, dice)
        kinds[name] += 1
        print(f"{number + 1}/{settings.cases}  {told}: {'ok' if not wrong else 'WRONG'}", flush=True)
        for line in wrong:
            print(f"    {line}", flush=True)
        failed += bool(wrong)
        if not (wrong and settings.keep):
            shutil.rmtree(folder)
    figures = {"cases": settings.cases, "failed": failed, "of": dict(kinds)}
    print(json.dumps({**figures, "seconds": round(time.monotonic() - started)}))
    if failed and settings.keep:
        print(f"kept in {home}")
    else:
        shutil.rmtree(home)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
