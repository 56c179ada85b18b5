"""Circuits as graphs for other tools: NetworkX, GraphML (Gephi, Cytoscape, yEd) and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.circuits import Circuit
from sparsegpt2.circuits.edges import edge_maps, edges_present
from sparsegpt2.files import Kind, replacing, replacing_directory
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import place_of
from sparsegpt2.results import write_cells

if TYPE_CHECKING:
    from networkx import DiGraph

NODES, EDGES = "nodes.csv", "edges.csv"
KIND = Kind(f"{NODES} and {EDGES} of a circuit", (NODES, EDGES), NODES, ("id,site,layer,sublayer,",))
"""Folders that `write_csv` may replace."""


def to_networkx(circuit: Circuit, model: GPT) -> DiGraph:
    """A directed graph with a node for each kept node, such as `3.mlp.post_act.17`, and an edge for each edge.

    Attributes of nodes: `site`, `layer`, `sublayer` (attn or mlp), `place`, `channel`, `head` (of q, k and v; -1
    elsewhere), `order` (index of the site in the forward pass) and, if the model has node means, `mean`. Edges have
    `weight`. Attributes of the graph: all texts, numbers and booleans in the circuit's info. `UserError` for a circuit
    of another model.
    """
    from networkx import DiGraph

    circuit.check(model)
    facts = {key: value for key, value in circuit.info.to_dict().items() if isinstance(value, str | int | float | bool)}
    graph = DiGraph(**facts)
    for order, (site, kept) in enumerate(circuit.nodes.items()):
        for channel in kept.nonzero().flatten().tolist():
            graph.add_node(f"{site}.{channel}", **_facts(model, site, channel), order=order)
    for edge_map in edge_maps(model):
        into, out_of = circuit.nodes[edge_map.target], circuit.nodes[edge_map.source]
        present = edges_present(model, edge_map, circuit.weights).cpu() & into[:, None] & out_of  # [targets, sources]
        weights = model.get_parameter(edge_map.parameter).detach()[edge_map.rows, edge_map.columns].cpu()
        for target, source in present.nonzero().tolist():
            weight = float(weights[target, source])
            graph.add_edge(f"{edge_map.source}.{source}", f"{edge_map.target}.{target}", weight=weight)
    return graph


def write_graphml(graph: DiGraph, path: str | Path) -> None:
    """Write the graph as a GraphML file."""
    from networkx import write_graphml

    with replacing(path) as temporary:
        write_graphml(graph, temporary)


def write_csv(graph: DiGraph, directory: str | Path) -> None:
    """Write `nodes.csv` (id and attributes) and `edges.csv` (source, target, weight) into `directory`.

    An earlier folder of this kind is replaced; `UserError` if `directory` has other files.
    """
    nodes = [{"id": name, **attributes} for name, attributes in graph.nodes(data=True)]
    edges = [{"source": a, "target": b, **attributes} for a, b, attributes in graph.edges(data=True)]
    columns = ["id", "site", "layer", "sublayer", "place", "channel", "head", "order"]
    columns += ["mean"] * any("mean" in node for node in nodes)
    with replacing_directory(directory, KIND) as unfinished:
        _write_rows(unfinished / NODES, columns, nodes)
        _write_rows(unfinished / EDGES, ["source", "target", "weight"], edges)


def _write_rows(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        write_cells(file, columns, rows)


def _facts(model: GPT, site: str, channel: int) -> dict[str, Any]:
    sublayer, place = place_of(site).split(".")
    facts: dict[str, Any] = {"site": site, "layer": int(site.split(".")[0]), "sublayer": sublayer, "place": place}
    facts |= {"channel": channel, "head": channel // model.config.d_head if place in ("q", "k", "v") else -1}
    if model.means is not None:
        facts["mean"] = float(model.means[site][channel])
    return facts
