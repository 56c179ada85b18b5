"""Draws a circuit: one row of nodes for each layer and site, from bottom to top, and edges that show their sign.

One unit of the axes is one inch, so overlaps of texts can be computed before drawing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsegpt2.report.style import COLOURS, GREY, styled
from sparsegpt2.viewer.schema import CircuitData, NodeData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40
"""Largest number of nodes drawn. They are the nodes with the largest effect, and nodes that connect them."""
WIDTH, LEFT, RIGHT, ROW = 9.0, 1.35, 8.85, 0.95
"""In inches: the figure's width, the left and right limits of the nodes, and the distance between rows."""
RADIUS = 0.17
"""Radius of a node, in inches."""
LETTER, LINE = 0.062, 0.11
"""Approximate width of a character and height of a line, in inches, for 6.5-point text."""
SWEEPS = 12
"""Number of passes over the rows in which nodes are moved closer to the nodes that they are joined to."""
PLACES = ("attn.act_in", "attn.qkv", "attn.resid_delta", "mlp.act_in", "mlp.post_act", "mlp.resid_delta")
"""The rows of a layer, from bottom to top. `attn.qkv` holds the nodes of the sites q, k and v."""
POSITIVE, NEGATIVE = COLOURS[0], COLOURS[1]

Box = tuple[float, float, float, float]
"""A rectangle: left, bottom, right, top, in inches."""


@dataclass(frozen=True)
class Placed:
    """The places of the drawn nodes. Keys are indices into `CircuitData.nodes`; all lengths are in inches."""

    position: dict[int, tuple[float, float]]
    """(x, y) of each node's centre."""
    rows: list[tuple[str, float]]
    """(name, y) of each row. The name is a site or, for the q, k and v of a layer, a name such as `0.attn q k v`."""
    spacing: dict[int, float]
    """Width available for each node's label."""
    height: float
    """Height of the figure."""


def most_effective(data: CircuitData, most: int = MOST) -> list[int]:
    """Indices of the nodes to draw, at most `most`, in forward order.

    Chosen are the nodes whose ablation raises the loss most. Two nodes are joined if they share an edge or a residual
    channel. If a node is not joined to any node chosen before it, then of the nodes that it is joined to, the one with
    the largest effect is chosen too.
    """

    def effect(place: int) -> float:
        return data["nodes"][place]["effect"] or 0.0

    everything, chosen = range(len(data["nodes"])), list[int]()
    joined = _joined(data, set(everything))
    for node in sorted(everything, key=lambda place: -effect(place)):
        missing = [] if set(joined[node]) & set(chosen) else sorted(joined[node], key=effect)[-1:]
        chosen += [one for one in (node, *missing) if one not in chosen]
        if len(chosen) >= most:
            break
    return sorted(chosen[:most])


def draw_circuit(data: CircuitData, labels: Mapping[int, str], most: int = MOST) -> Figure:
    """The figure of a circuit, which must have at least one node. labels: index of a node -> the text next to it."""
    from matplotlib.figure import Figure

    chosen = most_effective(data, most)
    placed = place(data, chosen)
    with styled():
        figure = Figure(figsize=(WIDTH, placed.height))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, WIDTH), ylim=(0, placed.height))
        axis.axis("off")
        for site, y in placed.rows:
            axis.text(0.08, y, site, va="center", fontsize=7.5, color="0.25")
            axis.plot([LEFT - 0.1, RIGHT], [y, y], color="0.95", linewidth=0.8, zorder=0)
        _draw_heads(axis, data, placed)
        _draw_residual(axis, data, placed)
        taken = _draw_nodes(axis, data, placed, labels)
        _draw_edges(axis, data, placed, taken)
        _draw_key(axis)
    return figure


def place(data: CircuitData, chosen: Sequence[int]) -> Placed:
    """Place the nodes in one row per site; q, k and v of a layer share a row.

    In its row, a node is placed near the nodes that it is joined to. The q, k and v nodes of a head stay together.
    """
    nodes = data["nodes"]
    rows: dict[str, list[int]] = defaultdict(list)
    for node in chosen:
        rows[row_of(nodes[node]["site"])].append(node)
    order = sorted(rows, key=lambda row: (int(row.split(".")[0]), PLACES.index(row.split(".", 1)[1])))
    joined = _joined(data, set(chosen))
    x = {node: (i + 0.5) / len(rows[row]) for row in order for i, node in enumerate(rows[row])}
    for sweep in range(SWEEPS):
        for row in order if sweep % 2 else reversed(order):
            _arrange(rows[row], nodes, x, joined)
    position, spacing, named = {}, {}, []
    for number, row in enumerate(order):
        y = 0.55 + ROW * number
        named.append((row.replace(".qkv", " q k v"), y))
        step = (RIGHT - LEFT) / len(rows[row])
        crowded = step < 2.2 * RADIUS
        for i, node in enumerate(rows[row]):
            position[node] = (LEFT + (i + 0.5) * step, y + (0.2 * (-1) ** i if crowded else 0.0))
            spacing[node] = min(step * (2 if crowded else 1), 1.2)
    return Placed(position, named, spacing, 1.05 + ROW * (len(order) - 1))


def row_of(site: str) -> str:
    """Name of a site's row; q, k and v of a layer share `LAYER.attn.qkv`."""
    return f"{site[:-1]}qkv" if site.endswith((".q", ".k", ".v")) else site


def _joined(data: CircuitData, chosen: set[int]) -> dict[int, list[int]]:
    """Each node -> the nodes that it shares an edge or a residual channel with."""
    joined: dict[int, list[int]] = {node: [] for node in chosen}
    pairs = list(zip(data["edges"]["source"], data["edges"]["target"], strict=True))
    for one, other in [*pairs, *residual_links(data)]:
        if one in chosen and other in chosen:
            joined[one].append(other)
            joined[other].append(one)
    return joined


def residual_links(data: CircuitData) -> list[tuple[int, int]]:
    """(writer, reader) pairs of nodes that share a residual channel, with the reader in a later sublayer.

    A writer is a resid_delta node and a reader is an act_in node.
    """
    nodes = data["nodes"]
    return [
        (writer, reader)
        for lane in data["lanes"]
        for writer in lane["nodes"]
        for reader in lane["nodes"]
        if nodes[writer]["site"].endswith("resid_delta") and nodes[reader]["site"].endswith("act_in")
        if writer < reader  # nodes are in forward order
    ]


def _arrange(row: list[int], nodes: Sequence[NodeData], x: dict[int, float], joined: dict[int, list[int]]) -> None:
    """Sort a row and update `x`, the horizontal positions of its nodes.

    A node is placed by the mean x of the nodes that it is joined to. Nodes of one head stay together.
    """
    aim = {
        node: sum(x[other] for other in joined[node]) / len(joined[node]) if joined[node] else x[node] for node in row
    }
    heads: dict[int, list[float]] = defaultdict(list)
    for node in row:
        heads[_group(nodes[node], node)].append(aim[node])
    centre = {head: sum(aims) / len(aims) for head, aims in heads.items()}

    def key(node: int) -> tuple[float, int, str, float]:
        group = _group(nodes[node], node)
        part = nodes[node]["site"][-1] if nodes[node]["head"] is not None else ""
        return centre[group], group, part, aim[node]

    row.sort(key=key)
    for i, node in enumerate(row):
        x[node] = (i + 0.5) / len(row)


def _group(node: NodeData, place: int) -> int:
    """The head of a q, k or v node; any other node is its own group, numbered below 0."""
    return -1 - place if node["head"] is None else node["head"]


# --- Drawing --------------------------------------------------------------------------------------------------------


def _draw_heads(axis: Axes, data: CircuitData, placed: Placed) -> None:
    """Draw a pale box around the q, k and v nodes of each head, with the head's name inside at the top."""
    from matplotlib.patches import FancyBboxPatch

    heads: dict[tuple[float, int], list[tuple[float, float]]] = defaultdict(list)
    for node, (x, y) in placed.position.items():
        head = data["nodes"][node]["head"]
        if head is not None:
            row = next(height for _, height in placed.rows if abs(height - y) < ROW / 2)
            heads[row, head].append((x, y))
    for (row, head), points in heads.items():
        left, right = min(x for x, _ in points) - RADIUS - 0.03, max(x for x, _ in points) + RADIUS + 0.03
        look: dict[str, Any] = {
            "boxstyle": "round,pad=0,rounding_size=0.08",
            "facecolor": "0.96",
            "edgecolor": "0.8",
            "zorder": 0.5,
        }
        axis.add_patch(FancyBboxPatch((left, row - 0.27), right - left, 0.62, linewidth=0.6, **look))
        axis.text(left + 0.03, row + 0.25, f"h{head}", fontsize=6.5, color="0.35", zorder=3)


def _draw_residual(axis: Axes, data: CircuitData, placed: Placed) -> None:
    """Draw dotted grey lines from the writers of each residual channel to its later readers."""
    for writer, reader in residual_links(data):
        if writer in placed.position and reader in placed.position:
            (x0, y0), (x1, y1) = placed.position[writer], placed.position[reader]
            axis.plot([x0, x1], [y0, y1], color="0.6", linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=1)


def _draw_nodes(axis: Axes, data: CircuitData, placed: Placed, labels: Mapping[int, str]) -> list[Box]:
    """Draw nodes as circles shaded by effect, with channel numbers inside and labels below or above.

    Returns the boxes of all circles and labels, so that later texts can avoid them.
    """
    from matplotlib.patches import Circle

    strongest = max((data["nodes"][node]["effect"] or 0.0 for node in placed.position), default=0.0)
    taken: list[Box] = []
    for node, (x, y) in placed.position.items():
        found = data["nodes"][node]
        share = max(0.0, (found["effect"] or 0.0) / strongest) if strongest > 0 else 0.0
        face = tuple(1 - share * (1 - part) for part in (0.98, 0.85, 0.45))
        axis.add_patch(Circle((x, y), RADIUS, facecolor=face, edgecolor="0.25", linewidth=0.7, zorder=4))
        part = found["site"][-1] if found["head"] is not None else ""
        axis.text(x, y, f"{part}{found['channel']}", ha="center", va="center", fontsize=6.5, zorder=5)
        taken.append((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS))
        if node in labels:
            text = _shortened(labels[node], int(placed.spacing[node] / LETTER) - 1)
            height = y + (RADIUS + 0.08) * (-1 if found["site"].endswith("act_in") else 1)
            look = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4}
            axis.text(x, height, text, ha="center", va="center", fontsize=6.5, color="0.3", bbox=look, zorder=3.5)
            half = len(text) * LETTER / 2
            taken.append((x - half, height - LINE / 2, x + half, height + LINE / 2))
    return taken


def _shortened(text: str, letters: int) -> str:
    """The text cut to `letters` characters."""
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"


def _draw_edges(axis: Axes, data: CircuitData, placed: Placed, taken: list[Box]) -> None:
    """Draw the edges, with colour and dashes for the sign and width for the magnitude.

    Weights are written next to edges where there is room, starting with the largest magnitude. taken: boxes to avoid.
    """
    edges = data["edges"]
    drawn = [
        (source, target, weight)
        for source, target, weight in zip(edges["source"], edges["target"], edges["weight"], strict=True)
        if source in placed.position and target in placed.position
    ]
    largest = max((abs(weight) for _, _, weight in drawn), default=1.0)
    for source, target, weight in sorted(drawn, key=lambda edge: -abs(edge[2])):
        (x0, y0), (x1, y1) = placed.position[source], placed.position[target]
        colour, dash = (POSITIVE, "-") if weight > 0 else (NEGATIVE, (0, (4, 1.2)))
        width = 0.5 + 2.0 * abs(weight) / largest
        axis.plot([x0, x1], [y0, y1], color=colour, linestyle=dash, linewidth=width, alpha=0.85, zorder=2)
        text = f"{weight:.2g}".replace("-", "−")
        for share in (0.5, 0.42, 0.58, 0.36, 0.64):
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            half = len(text) * LETTER / 2 + 0.02
            box = (x - half, y - LINE / 2, x + half, y + LINE / 2)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                look = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.3}
                axis.text(x, y, text, ha="center", va="center", fontsize=6, color=colour, bbox=look, zorder=3)
                break


def _draw_key(axis: Axes) -> None:
    entries = (
        (POSITIVE, "-", "positive weight"),
        (NEGATIVE, (0, (4, 1.2)), "negative weight"),
        (GREY, ":", "residual"),
    )
    for number, (colour, dash, text) in enumerate(entries):
        x = 0.1 + 1.6 * number
        axis.plot([x, x + 0.3], [0.1, 0.1], color=colour, linestyle=dash, linewidth=1.4)
        axis.text(x + 0.36, 0.1, text, va="center", fontsize=7, color="0.3")
    axis.text(5.0, 0.1, "shade: task loss gained when the node is ablated", va="center", fontsize=7, color="0.3")


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
