"""Batches made ahead, and the clock that says what a run spent beside training."""

from __future__ import annotations

import time

import pytest
import torch

from train.ahead import Ahead
from train.log import Clock


def test_batches_come_in_order_from_the_given_step_and_one_ahead():
    made = []

    def make(step):
        made.append(step)
        return torch.tensor([step]), torch.tensor([step + 1])

    ahead = Ahead(make, 5)
    assert [int(ahead.next()[0]) for _ in range(3)] == [5, 6, 7]
    assert ahead.waiting is not None
    ahead.waiting.result(timeout=60)  # the one ahead; closing may cancel it where the thread has not begun with it
    ahead.close()
    assert made == [5, 6, 7, 8]


def test_an_error_in_making_a_batch_is_raised():
    def make(step):
        raise OSError("shard is gone")

    ahead = Ahead(make, 0)
    with pytest.raises(OSError, match="shard is gone"):
        ahead.next()
    ahead.close()


def test_the_clock_adds_up_parts():
    clock = Clock()
    for part, seconds in (("training", 0.03), ("validation", 0.01), ("training", 0.03)):
        with clock.measure(part):
            time.sleep(seconds)
    assert clock.last >= 0.03 and clock.seconds["training"] >= 0.06
    clock.seconds = {"training": 97.0, "validation": 2.0, "logging": 1.0}
    assert clock.summary() == "1:40 in total, 3.0% of it not training: validation 2.0%, logging 1.0%"
