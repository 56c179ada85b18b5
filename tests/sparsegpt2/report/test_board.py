"""What TensorBoard is given: read back from its own files, and the figures' own data."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.report.board import curve_figure, density_figure, log_curve, weights_figure

CURVE = [[2, 0, 0.7], [5, 4, 0.3], [9, 30, 0.1]]


@pytest.fixture
def model() -> GPT:
    return GPT(GPTConfig(vocab_size=16, context=8, d_model=16, n_layer=2))


@pytest.fixture
def circuit() -> Circuit:
    return Circuit(nodes={}, info=CircuitInfo(task="made_up", curve=CURVE, target_loss=0.3, validation_loss=0.2))


def test_densities_stand_over_their_layers(model):
    with torch.no_grad():
        model.layers[1].mlp.c_fc.weight[:16] = 0  # a quarter of its 64 rows
    (axis,) = density_figure(model).axes
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()}
    assert lines["mlp.c_fc"] == ([0, 1], [1.0, 0.75])
    assert lines["wte"] == ([-1], [1.0]) and lines["unembed"] == ([2], [1.0])


def test_weights_have_a_panel_a_layer_and_a_histogram_a_matrix(model):
    axes = weights_figure(model).axes
    assert [axis.get_ylabel() for axis in axes] == ["layer 0", "layer 1"]
    assert all(len(axis.patches) == 4 for axis in axes)


def test_the_curve_marks_the_circuit(circuit):
    (axis,) = curve_figure(circuit, edges=3).axes
    line, _target, mark = axis.get_lines()
    assert list(line.get_xdata()) == [1.0, 4, 30] and list(line.get_ydata()) == [0.7, 0.3, 0.1]
    assert list(mark.get_xdata()) == [3] and list(mark.get_ydata()) == [0.2], "as it is after trimming"


def test_a_curve_can_be_read_by_tensorboard(circuit, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_curve(circuit, 3, tmp_path / "curve")
    events = EventAccumulator(str(tmp_path / "curve"))
    events.Reload()
    by_nodes = events.Scalars("task loss by nodes")
    assert [event.step for event in by_nodes] == [2, 5, 9]
    assert [event.value for event in by_nodes] == pytest.approx([0.7, 0.3, 0.1])
    assert [event.step for event in events.Scalars("task loss by edges")] == [0, 4, 30]
    assert events.Tags()["images"] == ["task loss against edges"]


def test_a_circuit_without_a_curve_writes_nothing(tmp_path):
    log_curve(Circuit(nodes={}, info=CircuitInfo(task="made_up")), 0, tmp_path / "curve")
    assert not (tmp_path / "curve").exists()
