"""The next batch is made while the device works on this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

Batch = tuple[Tensor, Tensor]


class Ahead:
    """Batches of consecutive steps, one made ahead by a thread of its own.

    `make(step)` must depend on nothing but the step, so that a run gone on with sees the same batches.
    """

    def __init__(self, make: Callable[[int], Batch], step: int) -> None:
        self.make, self.step = make, step
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self.waiting: Future[Batch] | None = None

    def next(self) -> Batch:
        """The batch of the next step; an error in making it is raised here."""
        current = self.waiting or self.thread.submit(self.make, self.step)
        self.step += 1
        batch = current.result()
        self.waiting = self.thread.submit(self.make, self.step)
        return batch

    def close(self) -> None:
        """End the thread."""
        self.thread.shutdown(cancel_futures=True)
