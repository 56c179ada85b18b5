"""A training step of a pruner launches its work and reads nothing back, so that on a GPU nobody waits.

Here no device is at hand, so tensors that would be on it are marked: the model's, the batch's, and whatever is computed
from them. What reads a marked tensor's numbers is written down, with the line of ours that asked for it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparsegpt2.circuits import PruneConfig, host, task
from sparsegpt2.circuits.gate_training import GateTraining
from sparsegpt2.circuits.pruners import get_joint_pruner, get_pruner
from sparsegpt2.circuits.search import rank_nodes
from sparsegpt2.circuits.task import TaskBatch

READS = {"_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "unique_dim", "_unique2", "item"}
"""Operations that hand a device's numbers, or a shape that depends on them, to the host."""

SETTINGS: dict[str, dict[str, Any]] = {
    "node": {},
    "node+tied+trim": {},
    "stochastic": {},
    "edge": {},
    "edge+trim": {"edge_gate": "hard_concrete", "init_noise_bias": 0.5},
    "node fixed": {"penalty": "fixed", "settle_steps": 0},
}


class Device(TorchDispatchMode):
    """Marks what would be on the device, and notes every read of it; `reads` while `watching`."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, Any] = {}
        self.reads: list[str] = []
        self.watching = False

    def mark(self, *tensors: Tensor) -> None:
        """These are on the device. Their storage is held, so that no other tensor can take its place."""
        for tensor in tensors:
            self.storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage()

    def holds(self, tensor: Any) -> bool:
        """Whether a value is a tensor on the device."""
        return isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata in self.storages

    def note(self, what: str) -> None:
        """A read of the device's numbers."""
        if self.watching:
            stack = [frame for frame in traceback.extract_stack() if "sparsegpt2/circuits/" in frame.filename]
            ours = [one for one in stack if one.name not in ("note", "read", "__torch_dispatch__")]
            self.reads.append(f"{what} at {[f'{Path(one.filename).name}:{one.lineno}' for one in ours[-2:]]}")

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        name = function.overloadpacket.__name__
        given = tree_leaves((arguments, keywords or {}))
        there = any(self.holds(one) for one in given)
        masks = name in ("index", "index_put", "index_put_") and any(
            isinstance(one, Tensor) and one.dtype == torch.bool and self.holds(one) for one in tree_leaves(arguments[1])
        )
        if there and (name in READS or masks):
            self.note(name)
        found = function(*arguments, **(keywords or {}))
        if there:
            self.mark(*[one for one in tree_leaves(found) if isinstance(one, Tensor)])
        return found


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """Batches are copied to it, and the host is told that looks are not free."""
    device = Device()

    def to(batch: TaskBatch, _where: Any) -> TaskBatch:
        columns = {name: getattr(batch, name).clone() for name in ("tokens", "position", "answer", "alternative")}
        device.mark(*columns.values())
        return TaskBatch(**columns)._knowing(batch.host)

    def reading(name: str) -> Callable[..., Any]:
        real = getattr(Tensor, name)

        def read(tensor: Tensor, *arguments: Any, **keywords: Any) -> Any:
            if device.holds(tensor):
                device.note(name)
            return real(tensor, *arguments, **keywords)

        return read

    monkeypatch.setenv("SPARSEGPT2_PLAIN", "1")  # the loops for CPUs read memory, and would not run there
    monkeypatch.setattr(TaskBatch, "to", to)
    for name in ("cpu", "numpy", "tolist"):  # these reach the memory of a CPU tensor without an operation
        monkeypatch.setattr(Tensor, name, reading(name))
    for module in (host, task):
        monkeypatch.setattr(module, "looks_are_free", lambda _: False)
    return device


def every(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The host looks once in so many steps."""
    monkeypatch.setattr(host, "look_every", lambda _device: steps)


def prepared(model: Any, device: Device, monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Mark the model, and watch all from the end of step `first` to the forward and backward of step `last`."""
    device.mark(*model.parameters(), *model.buffers(), *model.means.values())
    taken = []
    real = GateTraining.step

    def step(run: GateTraining, *arguments: Any) -> None:
        device.mark(run.tau)
        taken.append(run)
        device.watching = first < len(taken) < last
        real(run, *arguments)
        device.watching = first <= len(taken) < last

    monkeypatch.setattr(GateTraining, "step", step)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_reads_nothing_from_the_device(
    name: str, random_model: Any, planted: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    every(monkeypatch, 6)
    prepared(random_model, device, monkeypatch, first=1, last=6)
    for with_alternative in (True, False):
        own = replace(planted.task, with_alternative=with_alternative)
        config = PruneConfig(pruner=name.split()[0], steps=7, pairs=4, **SETTINGS[name])
        device.reads.clear()
        with device:
            ranking = get_pruner(config.pruner)(random_model, own, config)
        assert set(device.reads) == set()
        assert len(ranking.history) == 7


def test_runs_together_read_nothing_from_the_device(
    random_model: Any, planted: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    every(monkeypatch, 6)
    prepared(random_model, device, monkeypatch, first=2, last=11)
    joint = get_joint_pruner("node")
    assert joint is not None
    with device:
        joint(random_model, [planted.task] * 2, [PruneConfig(steps=7, pairs=4, seed=seed) for seed in (0, 1)])
    assert set(device.reads) == set()


def test_a_look_at_every_step_would_be_noticed(
    random_model: Any, planted: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    every(monkeypatch, 1)
    prepared(random_model, device, monkeypatch, first=1, last=6)
    with device:
        get_pruner("node")(random_model, planted.task, PruneConfig(steps=7, pairs=4))
    assert any("tolist" in read for read in device.reads) and any("_local_scalar" in read for read in device.reads)


@pytest.mark.parametrize("pruner", ["node", "edge"])
def test_how_often_the_host_looks_changes_no_ranking(
    pruner: str, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run settles before its last step; found out late, it must end where it settled."""
    config = PruneConfig(pruner=pruner, steps=150, pairs=8, dtype="float32", settle_steps=8, drop_below=-1.0)
    at_once = rank_nodes(planted.model, planted.task, config)
    every(monkeypatch, 7)
    late = rank_nodes(planted.model, planted.task, config)
    assert len(at_once.history) < 150 and len(at_once.history) % 7
    assert late.history == at_once.history and late.trained_size == at_once.trained_size
    assert all(torch.equal(late.scores[site], scores) for site, scores in at_once.scores.items())


def test_nan_is_found_at_the_next_look(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    every(monkeypatch, 4)
    planted.model.unembed.weight[7, 2] = torch.nan
    with pytest.raises(Exception, match="loss on task planted is not finite"):
        get_pruner("node")(planted.model, planted.task, PruneConfig(steps=10, pairs=2))


def test_a_watcher_sees_every_step_in_order(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watch:
        def __init__(self) -> None:
            self.steps: list[int] = []
            self.entries: list[Any] = []

        def __call__(self, done: int, total: int, what: str) -> None: ...

        def see(self, entry: Any, step: int, steps: int) -> None:
            self.steps.append(step)
            self.entries.append(entry)

    every(monkeypatch, 4)
    watch = Watch()
    ranking = get_pruner("node")(planted.model, planted.task, PruneConfig(steps=10, pairs=2), watch)
    assert watch.steps == list(range(1, 11)) and watch.entries == ranking.history


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("pruner", ["node", "node+tied+trim", "stochastic", "edge"])
def test_a_step_on_a_gpu_does_not_synchronise(
    pruner: str, random_model: Any, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = GateTraining.step, []

    def step(run: GateTraining, *arguments: Any) -> None:
        taken.append(run)
        real(run, *arguments)
        torch.cuda.set_sync_debug_mode("error" if 2 <= len(taken) < 9 else "default")

    monkeypatch.setattr(GateTraining, "step", step)
    model = random_model.cuda()
    model.means = {site: mean.cuda() for site, mean in model.means.items()}
    try:
        get_pruner(pruner)(model, planted.task, PruneConfig(pruner=pruner, steps=12, pairs=4))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(taken) == 12


def test_the_device_is_no_stage_set(device: Device) -> None:
    """The instrument itself: reads of marked tensors are noted, those of others are not."""
    device.watching = True
    with device:
        here, there = torch.ones(3), torch.ones(3)
        device.mark(there)
        float(here.sum()), here[here > 0], here.tolist()
        assert device.reads == []
        float((there + here).sum())
        there[there > 0]
        here[there > 0]
        (2 * there).tolist()
        torch.equal(here, there)
    kinds = [read.split(" at ")[0] for read in device.reads]
    assert kinds == ["_local_scalar_dense", "index", "index", "tolist", "equal"]
    assert all(Path(__file__).name in read for read in device.reads)
