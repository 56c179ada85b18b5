"""The data of a page, which is stored as JSON. Python code gathers it, and the JavaScript of the page shows it.

Increase `FORMAT` with every change that an older script would misread. A number that stands for a node is its index in
`CircuitData.nodes`. Losses are in nats. Tokens are ids, whose texts are in `CircuitData.texts`.
"""

from __future__ import annotations

from typing import Any, TypedDict

FORMAT = 1
KIND = "sparsegpt2 view"

Points = list[list[float]]
"""[[x, y], ...]"""
TokenWeights = list[tuple[str, float]]
"""[(text of a token, weight), ...], sorted by magnitude, largest first."""


class Snippet(TypedDict):
    """A piece of a row of tokens, with the activation of one node at each token."""

    row: int
    """Index of the row in `CircuitData.rows`, among the rows of the snippet's source."""
    start: int
    """Position in the row of the first token shown."""
    peak: int
    """Position in the row of the token that the snippet was chosen for."""
    values: list[int]
    """Activations at the tokens from `start` on, in hundredths of `Activations.scale`."""


class Activations(TypedDict):
    """Activations of one node on one source of text (`corpus` or `task`), in the whole model."""

    mean: float
    low: float
    high: float
    scale: float
    """Largest magnitude of an activation."""
    zeros: float
    """Share of positions at which the node is exactly 0."""
    counts: list[int]
    """Histogram of the nonzero values: number of positions in each of the equal bins from `low` to `high`."""
    top: list[Snippet]
    """Snippets around the highest activations."""
    bottom: list[Snippet]
    """Snippets around the lowest activations."""
    random: list[Snippet]
    """Snippets around random tokens."""


class NodeData(TypedDict):
    """A node that the circuit keeps."""

    id: str
    """Site and channel, such as `0.attn.q.13`."""
    site: str
    channel: int
    head: int | None
    """Index of the head, for q, k and v nodes; None for other nodes."""
    bias: float | None
    mean: float | None
    """Mean activation over pretraining text. An ablated node has this value."""
    effect: float | None
    """Task loss of the circuit without the node, minus the task loss of the circuit."""
    effect_full: float | None
    """Task loss of the whole model without the node, minus the task loss of the whole model."""
    excited_by: TokenWeights
    """For act_in nodes: the tokens with the highest and the lowest entries of the embedding in the node's channel, with
    these entries. Empty for other nodes."""
    raises: TokenWeights
    """For resid_delta nodes: the tokens whose logits change most if the channel grows by one unit, with these changes.
    The gain of the final norm is included, but not its division by the root mean square. Empty for other nodes."""
    activations: dict[str, Activations]
    """Source of text (`corpus` or `task`) -> activations on it."""


class EdgeColumns(TypedDict):
    """Edges, as three lists of equal length. Entry i of each list belongs to edge i."""

    source: list[int]
    target: list[int]
    weight: list[float]


class Lane(TypedDict):
    """A residual channel that is read or written by nodes on the page. The page draws it as a vertical line."""

    channel: int
    embedded: bool
    """Whether the embedding writes to the channel."""
    unembedded: bool
    """Whether the unembedding reads the channel."""
    nodes: list[int]
    """Shown nodes that read the channel (act_in) or write to it (resid_delta), in forward order."""


class Hidden(TypedDict):
    """How much of a large circuit the page leaves out."""

    nodes: int
    """Number of nodes left out."""
    edges: int
    """Number of edges left out."""
    rule: str
    """How the shown part was chosen; empty if nothing is left out."""


class Choice(TypedDict):
    """What the whole model, the circuit or its complement (everything but the circuit) predicts after one prompt."""

    right: float
    """Probability of the right choice, if only the right and the wrong choice are possible."""
    answer: float | None
    """Probability of the answer token over the whole vocabulary; None if every token except one is right."""
    alternative: float | None
    """Probability of the wrong token over the whole vocabulary; None if every token except one is wrong."""
    top: list[tuple[str, float]]
    """(text, probability) of the most probable tokens."""


class SideData(TypedDict):
    """One prompt of a pair."""

    tokens: list[int]
    """Token ids, without padding."""
    answer: str | None
    """Text of the right token; None if every token except one is right."""
    alternative: str | None
    """Text of the wrong token; None if every token except one is wrong."""
    full: Choice
    circuit: Choice
    complement: Choice


class Scores(TypedDict):
    """Mean task loss and accuracy over pairs of one split.

    The keys of `loss` and `accuracy` are `full` (the whole model), `circuit` and `complement`.
    """

    split: str
    pairs: int
    loss: dict[str, float]
    accuracy: dict[str, float]


class Patterns(TypedDict):
    """Attention patterns on the first pairs of the task, for heads that have a q, k or v node on the page."""

    pairs: int
    """Number of pairs with patterns. They are the first ones in `TaskData.pairs`."""
    heads: dict[str, list[dict[str, str]]]
    """`layer.head` -> for each prompt (two per pair), its pattern in the whole model (`full`) and in the `circuit`.
    A pattern is bytes in base64. Query by query, it has a byte for each key that the query can attend to, and then a
    byte for the sink. A byte is an attention weight times 255."""
    left_out: list[str]
    """Heads, as `layer.head`, whose patterns are left out because the page would become too large."""


class TaskData(TypedDict):
    """The circuit's task, with example pairs."""

    name: str
    pairs: list[tuple[SideData, SideData]]
    split: str
    """Split that `pairs` are from. Activations and effects of ablation are measured on pairs of the same split."""
    scores: Scores
    patterns: Patterns


class CircuitData(TypedDict):
    """One circuit."""

    name: str
    """Title, which is also the key of the circuit's notes. Different for each circuit on the page."""
    file: str
    """Path of the circuit's file; may be empty."""
    facts: list[tuple[str, str]]
    """(name, value) of each fact, as the page shows them."""
    config: dict[str, Any]
    """The model's settings."""
    nodes: list[NodeData]
    edges: EdgeColumns
    lanes: list[Lane]
    hidden: Hidden
    texts: dict[str, str]
    """Token id -> text."""
    rows: dict[str, list[list[int]]]
    """Source of text -> its rows of tokens, which snippets refer to."""
    sources: dict[str, str]
    """Source of text -> its description."""
    task: TaskData | None
    curve: Points
    """[[nodes, edges, validation loss], ...]: the curve of loss against size, along the pruner's ranking."""
    chosen: list[float] | None
    """[nodes, edges, validation loss] of this circuit."""
    target: float | None
    """Target loss."""
    evidence: dict[str, Any]
    """Name of a report on the circuit -> the report, which may be any JSON value."""


class CellData(TypedDict):
    """The results of one model on one task."""

    task: str
    status: str
    """`pruned`, `lacks the task` or `unavailable`."""
    counts: bool
    """Whether the task counts for the model (docs/definitions.md, score)."""
    edges: float | None
    """Edges of the circuits, geometric mean over pruning seeds."""
    loss: float | None
    """Task loss of the circuits on test pairs, mean over pruning seeds."""
    loss_full: float | None
    """Task loss of the whole model on test pairs."""
    files: list[str]
    """Circuit files, one per pruning seed."""
    circuits: list[int]
    """Indices into `PageData.circuits` of those circuits that are on the page."""


class ModelData(TypedDict):
    """The results of one model."""

    name: str
    dense: bool
    d_model: int
    l0: int
    held_out_loss: float | None
    had: int
    """Number of tasks that the model has."""
    shared_edges: float | None
    """Geometric mean of edges over the shared tasks; None if the model is not compared with others."""
    cells: list[CellData]


class RunData(TypedDict):
    """What a folder holds: training curves of one run or several, benchmark results, or both."""

    name: str
    training: dict[str, dict[str, Points]]
    """Name of a training run in the folder -> measure -> [[step, value], ...]"""
    models: list[ModelData]
    shared: list[str]
    """Tasks that count for every model that is compared."""
    pruner: str
    """Pruner whose circuits are compared; empty without results."""
    target: float | None
    """Target loss at which models are compared; None without results."""
    curves: list[dict[str, Any]]
    """The figure of task loss against circuit size, as {name, line, marks} for each model. `line` is the loss along
    the pruner's ranking, and `marks` are the sizes of the circuits found for each target loss. Both are
    [[edges, loss], ...], means over tasks."""
    not_shown: str
    """A sentence about circuits that are not on the page; empty if all are."""


class PageData(TypedDict):
    """All data of a page."""

    format: int
    kind: str
    title: str
    version: str
    circuits: list[CircuitData]
    run: RunData | None
    notes: dict[str, dict[str, dict[str, str]]]
    """Circuit name -> node id -> {label, note}."""
