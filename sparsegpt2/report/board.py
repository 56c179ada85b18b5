"""Figures for TensorBoard: densities and histograms of a model's weights, and the loss-size curve of a circuit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.model.gpt import GPT
from sparsegpt2.report.style import log_scales, look_of, new_figure, styled
from sparsegpt2.sparsity.project import projected_parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 60
"""Number of bins in a histogram of weights."""


def density_figure(model: GPT) -> Figure:
    """A figure of the density of each weight matrix: in the embedding, in each layer and in the unembedding."""
    layers = model.config.n_layer
    series: dict[str, list[tuple[float, float]]] = {}
    for tensor in projected_parameters(model):
        if tensor.kind == "bias":
            continue
        place, name = _place(tensor.name, layers)
        series.setdefault(name, []).append((place, float((tensor.weight.detach() != 0).float().mean())))
    with styled():
        figure, (axis,) = new_figure(1, width=6, height=3.4)
        for number, (name, points) in enumerate(series.items()):
            axis.plot(*zip(*points, strict=True), label=name, **look_of(number))
        axis.set_ylim(0, 1.1 * max(density for points in series.values() for _, density in points))
        axis.set_xticks(range(-1, layers + 1), ["embedding", *map(str, range(layers)), "unembedding"])
        axis.set(xlabel="Layer", ylabel="Density")
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def weights_figure(model: GPT) -> Figure:
    """Histograms of the nonzero weights of each matrix, one panel per layer."""
    with styled():
        figure, axes = new_figure(model.config.n_layer, width=6, height=1 + 1.5 * model.config.n_layer)
        for layer, axis in enumerate(axes):
            _histograms(model, layer, axis)
        axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
        axes[-1].set_xlabel("Weight")
    return figure


def curve_figure(circuit: Circuit, edges: int) -> Figure:
    """Task loss against number of edges along the pruner's ranking, with the target loss and a point for the circuit.

    edges: number of edges of the circuit. If the circuit was trimmed (`+trim`), its point is not on the curve, because
    trimming comes after the ranking.
    """
    points = [(max(1.0, edges), max(1e-4, loss)) for _, edges, loss in circuit.info.curve or []]
    with styled():
        figure, (axis,) = new_figure(1, width=5, height=3.4)
        axis.plot(*zip(*points, strict=True), **look_of(0), markersize=3)
        assert circuit.info.target_loss is not None  # a circuit with a curve has a target loss and a validation loss
        assert circuit.info.validation_loss is not None
        axis.axhline(circuit.info.target_loss, color="0.45", linestyle="--", linewidth=1)
        chosen = (max(1.0, edges), max(1e-4, circuit.info.validation_loss))
        axis.plot([chosen[0]], [chosen[1]], color="black", marker="s", markersize=9, fillstyle="none")
        log_scales(axis, *zip(*points, chosen, strict=True))
        axis.set(xlabel="Edges", ylabel="Task loss on validation pairs (nats)", title=circuit.info.task)
    return figure


def log_curve(circuit: Circuit, edges: int, directory: str | Path) -> None:
    """Write a circuit's loss-size curve for TensorBoard, as scalars and as the figure of `curve_figure`.

    The task loss is written twice: with the number of edges and with the number of nodes as the step. edges: number of
    edges of the circuit, which the figure marks. Nothing is written if TensorBoard is not installed or the circuit has
    no curve.
    """
    board = open_board(directory) if circuit.info.curve else None
    if board is None:
        return
    for nodes, edges_there, loss in circuit.info.curve or []:
        board.add_scalar("task loss by edges", loss, int(edges_there))
        board.add_scalar("task loss by nodes", loss, int(nodes))
    board.add_figure("task loss against edges", curve_figure(circuit, edges))
    board.close()


def open_board(directory: str | Path, **options: Any) -> Any:
    """A TensorBoard SummaryWriter for `directory`, or None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory), **options)


def _place(name: str, layers: int) -> tuple[float, str]:
    """Where a parameter is on the axis of layers (-1: embedding, `layers`: unembedding), and the name of its line."""
    parts = name.split(".")
    if parts[0] == "blocks":
        return int(parts[1]), ".".join(parts[2:-1])
    return (layers, "unembed") if parts[0] == "unembed" else (-1, parts[0])


def _histograms(model: GPT, layer: int, axis: Axes) -> None:
    axis.set_yscale("log")
    axis.set_ylabel(f"layer {layer}")
    number = 0
    for tensor in projected_parameters(model):
        if tensor.kind == "matrix" and tensor.name.startswith(f"blocks.{layer}."):
            weight = tensor.weight.detach()
            values = weight[weight != 0].float().cpu().numpy()
            look = look_of(number)
            label = ".".join(tensor.name.split(".")[2:-1])
            axis.hist(values, BINS, histtype="step", color=look["color"], linestyle=look["linestyle"], label=label)
            number += 1
