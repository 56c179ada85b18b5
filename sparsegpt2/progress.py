"""Show progress: a bar in a terminal, a line every few seconds in a pipe or a file, one line in a notebook.

with ProgressDisplay("pruning for_while") as progress:
    find_circuit(model, task, config, progress)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

Progress = Callable[[int, int, str], None]
"""A function that long work calls as progress(done, total, what), to report how far it is."""

BAR = 20
"""Width of the bar in characters."""
EVERY = 10.0
"""Seconds between lines in a pipe or a file."""


class ProgressDisplay:
    """A `Progress` that shows what it is given, for the duration of a `with` block.

    Work may have several parts, each of which counts from 0. The time left is always that of the current part.
    """

    def __init__(self, title: str, *, enabled: bool = True, every: float = EVERY) -> None:
        """title: what is being done, such as `pruning for_while`. every: seconds between lines in a pipe or a file."""
        self.title, self.place = title, _place(every) if enabled else _Nowhere()
        self.done, self.total, self.left = 0, 0, ""
        self.began = time.monotonic()
        self.part_began, self.part_first = self.began, 0

    def __enter__(self) -> ProgressDisplay:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.close(finished=kind is None)

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if done < self.done or total != self.total:
            self.part_began, self.part_first = now, done
        self.done, self.total = done, total
        self.left = _left(now - self.part_began, done - self.part_first, total - done)
        share = min(1.0, done / max(1, total))
        text = f"{self.title}: {what}" if what else self.title
        self.place.show(text, share, self.left)

    def start(self) -> None:
        """Start the display; `close` ends it. A `with` block calls both."""
        self.place.open()

    def line(self, text: str) -> None:
        """Print a line to stdout that stays there. If a bar is shown, the line is above it."""
        self.place.line(text)

    def close(self, *, finished: bool) -> None:
        """Remove the bar. In a pipe, a file or a notebook, report how long the work took if it has finished."""
        seconds = time.monotonic() - self.began
        self.place.close(f"{self.title}: finished in {duration(seconds)}" if finished and self.total else "")


def duration(seconds: float) -> str:
    """A time as text, such as `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _left(seconds: float, done: int, rest: int) -> str:
    """The time left, as text, if the work goes on at the same speed; empty while it cannot be estimated.

    done: units of work that took `seconds`. rest: units that are left.
    """
    return f"{duration(seconds / done * rest)} left" if done > 0 and rest > 0 and seconds > 0.5 else ""


class _Place(Protocol):
    """A place where progress is shown."""

    def open(self) -> None: ...

    def show(self, text: str, share: float, left: str) -> None: ...

    def line(self, text: str) -> None: ...

    def close(self, ending: str) -> None: ...


def _place(every: float) -> _Place:
    if _in_notebook():
        return _Notebook()
    return _Terminal() if sys.stderr.isatty() else _Lines(every)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Nowhere:
    """Shows nothing."""

    def open(self) -> None:
        pass

    def show(self, text: str, share: float, left: str) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def close(self, ending: str) -> None:
        pass


class _Lines:
    """A pipe or a file: whole lines on stderr, at most one every `every` seconds, and one at the end."""

    def __init__(self, every: float) -> None:
        self.every, self.last = every, time.monotonic()

    def open(self) -> None:
        self.last = time.monotonic()

    def show(self, text: str, share: float, left: str) -> None:
        now = time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            print(f"{text}  {share:.0%}{f', {left}' if left else ''}", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        self.last = time.monotonic()  # this line shows progress too, so `show` can wait
        print(text, flush=True)

    def close(self, ending: str) -> None:
        if ending:
            print(ending, file=sys.stderr, flush=True)


class _Terminal:
    """A live bar on stderr, which disappears at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            BarColumn(bar_width=BAR),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}", style="cyan"),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # text for a pipe must not appear in the terminal
        )
        self.task = self.bar.add_task("", total=1.0, left="")

    def open(self) -> None:
        self.bar.start()

    def show(self, text: str, share: float, left: str) -> None:
        # a text longer than this would make rich shorten every column
        room = self.bar.console.width - BAR - len("100%") - len(left) - 4
        short = text if len(text) <= room else f"{text[: max(0, room - 1)]}…"
        self.bar.update(self.task, completed=share, description=short, left=left)

    def line(self, text: str) -> None:
        if sys.stdout.isatty():  # rich redirects a terminal's stdout while the bar is shown
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def close(self, ending: str) -> None:
        self.bar.stop()


class _Notebook:
    """One line below the notebook cell, which is overwritten at each update."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.last = 0.0

    def open(self) -> None:
        pass

    def show(self, text: str, share: float, left: str) -> None:
        now = time.monotonic()
        if now - self.last >= 0.2:
            self.last = now
            filled = round(BAR * share)
            self._write(f"{'█' * filled}{'░' * (BAR - filled)} {share:4.0%}  {left}  {text}")

    def _write(self, text: str) -> None:
        from IPython.display import display

        content = {"text/plain": text}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)

    def line(self, text: str) -> None:
        print(text, flush=True)

    def close(self, ending: str) -> None:
        if ending:
            with suppress(ImportError):
                self._write(ending)
