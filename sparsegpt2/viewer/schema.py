"""What a page holds, as JSON: the contract between the Python that gathers and the JavaScript that shows.

A change that an older page's script would misread raises `FORMAT`. Nodes refer to each other by
their place in `CircuitData.nodes`; losses are in nats; tokens are ids, whose texts stand in `CircuitData.texts`.
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
    """A stretch of text with one node's activation at each token."""

    row: int
    """Which of the source's rows."""
    start: int
    """First token shown."""
    peak: int
    """The token the snippet was chosen for, counted from the row's beginning."""
    values: list[int]
    """Activations from `start` on, in hundredths of `Activations.scale`."""


class Activations(TypedDict):
    """One node over one source of text, in the whole model, nothing ablated."""

    mean: float
    low: float
    high: float
    scale: float
    """Largest magnitude."""
    zeros: float
    """Share of positions at which the node is exactly 0."""
    counts: list[int]
    """Histogram of the values that are not 0, in equal bins from `low` to `high`."""
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
    """Of q, k and v."""
    bias: float | None
    mean: float | None
    """Over pretraining text: what the node is set to when it is ablated."""
    effect: float | None
    """Task loss of the circuit without the node, minus that of the circuit."""
    effect_full: float | None
    """Task loss of the whole model without the node, minus that of the whole model."""
    excited_by: TokenWeights
    """act_in: entries of the channel's embedding column."""
    raises: TokenWeights
    """resid_delta: what one unit in the channel adds to the logits, with the final norm's gain but not its scale."""
    activations: dict[str, Activations]
    """By source, `corpus` and `task`."""


class EdgeColumns(TypedDict):
    """Edges, one list a column."""

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
    """What the page leaves out of a large circuit."""

    nodes: int
    edges: int
    rule: str
    """How it was chosen; empty when nothing is left out."""


class Choice(TypedDict):
    """What a model says after one prompt."""

    right: float
    """Probability of the right choice against the wrong one."""
    answer: float | None
    """Probability of the answer token over the vocabulary; None where anything else is right."""
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
    """Mean task loss and accuracy over pairs of one split, of whole model, circuit and complement."""

    split: str
    pairs: int
    loss: dict[str, float]
    accuracy: dict[str, float]


class Patterns(TypedDict):
    """Attention of the kept heads on the first pairs, whole model and circuit."""

    pairs: int
    """How many of `TaskData.pairs` have patterns."""
    heads: dict[str, list[dict[str, str]]]
    """`layer.head` -> for each row (two a pair) the patterns of `full` and `circuit`: base64 of bytes, share times 255,
    for each query the keys it may see and then the sink."""
    left_out: list[str]
    """Heads without patterns because the page would grow too large."""


class TaskData(TypedDict):
    name: str
    pairs: list[tuple[SideData, SideData]]
    split: str
    """Of the pairs, the task's prompts and the ablation effects."""
    scores: Scores
    patterns: Patterns


class CircuitData(TypedDict):
    """One circuit."""

    name: str
    """Unique in the page, and the key of its notes."""
    file: str
    facts: list[tuple[str, str]]
    """Shown as they are."""
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
    """Source -> what it is, in words."""
    task: TaskData | None
    curve: Points
    """[[nodes, edges, validation loss], ...]"""
    chosen: list[float] | None
    """The circuit's own [nodes, edges, validation loss]."""
    target: float | None
    evidence: dict[str, Any]
    """Reports found beside the circuit: name -> anything JSON holds."""


class CellData(TypedDict):
    """One model on one task."""

    task: str
    status: str
    counts: bool
    edges: float | None
    loss: float | None
    loss_full: float | None
    files: list[str]
    """Circuit files, one a pruning seed."""
    circuits: list[int]
    """Those of them that are in the page, by their place in `PageData.circuits`."""


class ModelData(TypedDict):
    name: str
    dense: bool
    d_model: int
    l0: int
    held_out_loss: float | None
    had: int
    shared_edges: float | None
    """Geometric mean over the shared tasks; None when the model is not compared."""
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
    """Why some circuits are not in the page; empty when all are."""


class PageData(TypedDict):
    format: int
    kind: str
    title: str
    version: str
    circuits: list[CircuitData]
    run: RunData | None
    notes: dict[str, dict[str, dict[str, str]]]
    """Circuit name -> node id -> {label, note}."""
