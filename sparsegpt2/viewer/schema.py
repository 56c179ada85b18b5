"""The data of a page, as JSON: the contract between the Python that gathers it and the JavaScript that shows it.

Raise `FORMAT` with every change that an older script would misread. Nodes are referred to by their index in
`CircuitData.nodes`; losses are in nats; tokens are ids, whose texts are in `CircuitData.texts`.
"""

from __future__ import annotations

from typing import Any, TypedDict

FORMAT = 1
KIND = "sparsegpt2 view"

Points = list[list[float]]
"""[[x, y], ...]"""
TokenWeights = list[tuple[str, float]]
"""[(text of a token, weight), ...], largest magnitude first."""


class Snippet(TypedDict):
    """A piece of text with the activation of one node at each token."""

    row: int
    """Index of the row in its source."""
    start: int
    """First token shown."""
    peak: int
    """The token that the snippet was chosen for; like `start`, counted from the beginning of the row."""
    values: list[int]
    """Activations of the tokens from `start`, in hundredths of `Activations.scale`."""


class Activations(TypedDict):
    """Activations of one node on one source of text, in the whole model."""

    mean: float
    low: float
    high: float
    scale: float
    """Largest magnitude."""
    zeros: float
    """Share of positions at which the node is exactly 0."""
    counts: list[int]
    """Histogram of the nonzero values, in equal bins from `low` to `high`."""
    top: list[Snippet]
    bottom: list[Snippet]
    random: list[Snippet]


class NodeData(TypedDict):
    """A kept node."""

    id: str
    """Site and channel, such as `0.attn.q.13`."""
    site: str
    channel: int
    head: int | None
    """The head, for nodes of q, k and v; None for others."""
    bias: float | None
    mean: float | None
    """Mean over pretraining text, which is the node's value when it is ablated."""
    effect: float | None
    """Task loss of the circuit without the node, minus that of the circuit."""
    effect_full: float | None
    """Task loss of the whole model without the node, minus that of the whole model."""
    excited_by: TokenWeights
    """For act_in nodes: entries of the embedding in the node's channel."""
    raises: TokenWeights
    """For resid_delta nodes: what one unit in the channel adds to the logits, with the gain of the final norm but
    without its scale."""
    activations: dict[str, Activations]
    """Source (`corpus` or `task`) -> activations."""


class EdgeColumns(TypedDict):
    """Edges as columns of equal length."""

    source: list[int]
    target: list[int]
    weight: list[float]


class Lane(TypedDict):
    """A residual channel and the kept nodes that read it (act_in) or write it (resid_delta), in forward order."""

    channel: int
    embedded: bool
    """Whether the embedding writes it."""
    unembedded: bool
    """Whether the logits read it."""
    nodes: list[int]


class Hidden(TypedDict):
    """How much of a large circuit the page leaves out."""

    nodes: int
    edges: int
    rule: str
    """How the shown part was chosen; empty if nothing is left out."""


class Choice(TypedDict):
    """What a model predicts after one prompt."""

    right: float
    """Probability of the right choice, among the right and the wrong one."""
    answer: float | None
    """Probability of the answer token over the whole vocabulary; None if anything except one token is right."""
    alternative: float | None
    top: list[tuple[str, float]]
    """The most probable tokens."""


class SideData(TypedDict):
    """One prompt of a pair; tokens without padding."""

    tokens: list[int]
    answer: str | None
    alternative: str | None
    full: Choice
    circuit: Choice
    complement: Choice


class Scores(TypedDict):
    """Mean task loss and accuracy over pairs of one split, for `full`, `circuit` and `complement`."""

    split: str
    pairs: int
    loss: dict[str, float]
    accuracy: dict[str, float]


class Patterns(TypedDict):
    """Attention patterns of the kept heads on the first pairs, in the whole model and in the circuit."""

    pairs: int
    """Number of pairs in `TaskData.pairs` that have patterns: the first ones."""
    heads: dict[str, list[dict[str, str]]]
    """`layer.head` -> for each row (two per pair) the patterns of `full` and `circuit`. A pattern is base64 of bytes,
    each a share times 255: for each query, the keys that it can attend to and then the sink."""
    left_out: list[str]
    """Heads without patterns because the page would grow too large."""


class TaskData(TypedDict):
    name: str
    pairs: list[tuple[SideData, SideData]]
    split: str
    """Split of `pairs`, of the prompts for activations and of the pairs for ablation effects."""
    scores: Scores
    patterns: Patterns


class CircuitData(TypedDict):
    """One circuit."""

    name: str
    """Unique on the page; the key of the circuit's notes."""
    file: str
    facts: list[tuple[str, str]]
    """(name, value), shown as they are."""
    config: dict[str, Any]
    """The model's settings."""
    nodes: list[NodeData]
    edges: EdgeColumns
    lanes: list[Lane]
    hidden: Hidden
    texts: dict[str, str]
    """Token id -> text."""
    rows: dict[str, list[list[int]]]
    """Source -> its rows of tokens, for snippets."""
    sources: dict[str, str]
    """Source -> its description."""
    task: TaskData | None
    curve: Points
    """[[nodes, edges, validation loss], ...]"""
    chosen: list[float] | None
    """[nodes, edges, validation loss] of this circuit."""
    target: float | None
    evidence: dict[str, Any]
    """Reports on the circuit: name -> any JSON value."""


class CellData(TypedDict):
    """One model on one task."""

    task: str
    status: str
    counts: bool
    edges: float | None
    loss: float | None
    loss_full: float | None
    files: list[str]
    """Circuit files, one per pruning seed."""
    circuits: list[int]
    """Those of these circuits that are on the page, as indices into `PageData.circuits`."""


class ModelData(TypedDict):
    name: str
    dense: bool
    d_model: int
    l0: int
    held_out_loss: float | None
    had: int
    shared_edges: float | None
    """Geometric mean of edges over the shared tasks; None if the model is not compared."""
    cells: list[CellData]


class RunData(TypedDict):
    """A run folder: training curves, benchmark results, or both."""

    name: str
    training: dict[str, dict[str, Points]]
    """Run -> measure -> [[step, value], ...]"""
    models: list[ModelData]
    shared: list[str]
    pruner: str
    target: float | None
    curves: list[dict[str, Any]]
    """Figure (b): name, line and marks of each model, as [[edges, loss], ...]."""
    not_shown: str
    """Why some circuits are not on the page; empty if all are."""


class PageData(TypedDict):
    format: int
    kind: str
    title: str
    version: str
    circuits: list[CircuitData]
    run: RunData | None
    notes: dict[str, dict[str, dict[str, str]]]
    """Circuit name -> node id -> {label, note}."""
