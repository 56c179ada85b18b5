"""Make the next batch while the device works on the current one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

Batch = tuple[Tensor, Tensor]


class Ahead:
    """Batches of consecutive steps. While the caller uses one batch, a thread makes the next.

    make: the function that makes the batch of a step. It must depend only on the step, so that a resumed run sees the
    same batches. step: the first step for which a batch is made.
    """

    def __init__(self, make: Callable[[int], Batch], step: int) -> None:
        self.make, self.step = make, step
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self.waiting: Future[Batch] | None = None

    def next(self) -> Batch:
        """Return the batch of the next step. If `make` raised an exception for this batch, it is raised here."""
        current = self.waiting or self.thread.submit(self.make, self.step)
        self.step += 1
        batch = current.result()
        self.waiting = self.thread.submit(self.make, self.step)
        return batch

    def close(self) -> None:
        """End the thread."""
        self.thread.shutdown(cancel_futures=True)
