"""Settings of models and of sparse optimisation: frozen, keyword-only dataclasses that check their values.

Sources: Gao et al. 2025, "Weight-sparse transformers have interpretable circuits" (arXiv 2511.13653), called "the
paper" below, and the training script that its authors published later.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

from sparsegpt2.errors import UserError
from sparsegpt2.settings.fields import check_fields
from sparsegpt2.settings.values import shown

# The places inside a layer where AbsTopK may act. The node places are also the sites of a circuit's nodes.
NODE_PLACES = (
    "attn.act_in",
    "attn.q",
    "attn.k",
    "attn.v",
    "attn.resid_delta",
    "mlp.act_in",
    "mlp.post_act",
    "mlp.resid_delta",
)
RESIDUAL_PLACES = ("attn.resid_post", "mlp.resid_post")


def require(condition: bool, sentence: str) -> None:
    """Raise `UserError(sentence)` unless `condition` holds."""
    if not condition:
        raise UserError(sentence)


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a model: exactly what is needed to build it again from a checkpoint."""

    vocab_size: int = 2048
    """Number of token ids, including end of text (paper: 2048)."""
    context: int = 256
    """Longest sequence in tokens (paper: 256)."""
    n_layer: int = 2
    """Layers; each is an attention and an MLP sublayer (paper: 8)."""
    d_model: int = 256
    """Channels of the residual stream (paper: 2048 or more in its largest models)."""
    d_head: int = 16
    """Channels of one head (paper: 16; small heads are more monosemantic)."""
    n_head: int = 0
    """Heads in each layer; 0 means d_model // d_head, which fills the width."""
    d_mlp: int = 0
    """MLP neurons in each layer; 0 means 4 * d_model."""
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    """MLP nonlinearity; `gelu` is the exact one."""
    norm: Literal["rms", "layer", "none"] = "rms"
    """Norm before each sublayer and before the unembedding (paper: RMSNorm, because it maps zero to zero)."""
    norm_eps: float = 1.1920929e-07
    """Added to the mean square (LayerNorm: to the variance) in the norm. The default is float32's epsilon, as in the
    paper's training script."""
    norm_bias: bool = True
    """Whether LayerNorm adds a bias. The other norms never do."""
    positions: Literal["none", "learned", "concat_learned", "concat_sinusoidal"] = "none"
    """Positional embedding: none (paper), learned and added to the residual stream, or `d_pos` read-only channels
    concatenated after the input channels of c_attn and c_fc."""
    d_pos: int = 0
    """Number of concatenated position channels; 0 unless `positions` is one of the concatenated kinds."""
    positions_compete: bool = False
    """Whether AbsTopK at act_in chooses among residual and concatenated position channels together, as in the paper's
    published code, instead of among residual channels only."""
    sink: bool = True
    """Whether each head has a learnable logit in its softmax denominator (initially 0), so that it can attend to
    nothing."""
    bigram_table: bool = True
    """Whether the model has a dense [vocab, vocab] table whose row for the current token is added to the logits. It is
    never sparsified."""
    activation_density: float = 0.25
    """AbsTopK keeps the floor(density * width) channels of largest magnitude. 1 turns it off (paper: 1/4)."""
    activation_places: tuple[str, ...] = NODE_PLACES
    """Where AbsTopK acts in every layer: any of the eight node places, attn.resid_post and mlp.resid_post."""
    bias: bool = True
    """Whether the four linear maps of a layer have bias vectors. The unembedding never has one."""
    tied_unembedding: bool = False
    """Whether embedding and unembedding are one matrix (paper: untied)."""
    logits_bias: bool = False
    """Whether a constant vector [vocab] is added to the logits. It is the `final_logits_bias` of imported models, and
    is zero in models that are trained here."""
    residual_activation: Literal["identity", "relu"] = "identity"
    """Nonlinearity that is applied to the residual stream after each sublayer."""
    causal: bool = True
    """Whether a position attends only to itself and to earlier positions."""
    init_std: float = 0.02
    """Standard deviation of the initial weights. For both c_proj of a layer it is divided by sqrt(2 n_layer)."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("vocab_size", "context", "n_layer", "d_model", "d_head"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("norm_eps", "init_std"):
            require(getattr(self, name) >= 0, f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.n_head == 0:
            object.__setattr__(self, "n_head", max(1, self.d_model // self.d_head))
        if self.d_mlp == 0:
            object.__setattr__(self, "d_mlp", 4 * self.d_model)
        require(self.n_head >= 1, f"n_head must be at least 1, or 0 to fill the width, got {self.n_head}")
        require(self.d_mlp >= 1, f"d_mlp must be at least 1, or 0 for 4 * d_model, got {self.d_mlp}")
        require(
            0 < self.activation_density <= 1,
            f"activation_density must be above 0 and at most 1 (1 turns AbsTopK off), got {self.activation_density}",
        )
        known = NODE_PLACES + RESIDUAL_PLACES
        for place in self.activation_places:
            require(place in known, f"activation_places has the unknown place {place!r}; use one of {', '.join(known)}")
        if self.positions.startswith("concat"):
            require(self.d_pos >= 1, f"positions={self.positions} needs d_pos of at least 1, got {self.d_pos}")
        else:
            require(self.d_pos == 0, f"d_pos={self.d_pos} needs positions=concat_learned or concat_sinusoidal")
            require(not self.positions_compete, "positions_compete needs positions=concat_learned or concat_sinusoidal")
        for place in self.activation_places:
            width = self._competitors(place)
            require(
                int(self.activation_density * width) >= 1,
                f"activation_density={self.activation_density} keeps no channel of {place} (width {width})",
            )

    @property
    def d_attn(self) -> int:
        """Channels of each of q, k and v: number of heads times channels of a head."""
        return self.n_head * self.d_head

    def width_of(self, place: str) -> int:
        """Number of channels at a place such as `mlp.post_act`."""
        if place in ("attn.q", "attn.k", "attn.v"):
            return self.d_attn
        return self.d_mlp if place == "mlp.post_act" else self.d_model

    def keep_at(self, place: str) -> int | None:
        """How many channels AbsTopK keeps at a place; None if it does not act there."""
        if self.activation_density == 1 or place not in self.activation_places:
            return None
        return int(self.activation_density * self._competitors(place))

    def _competitors(self, place: str) -> int:
        """Number of channels among which AbsTopK chooses at a place."""
        competing = self.d_pos if self.positions_compete and place.endswith("act_in") else 0
        return self.width_of(place) + competing


@dataclass(frozen=True, kw_only=True)
class SparsityConfig:
    """Which weights are kept after each step: the projection and its schedule (paper, sections 2.2 and A.3)."""

    density: float = 1.0
    """Share of nonzero entries at the end of training, in every weight matrix and bias vector. 1 trains a dense
    model."""
    embedding_density: float | None = None
    """Density of the embedding, the unembedding and learned positions. By default it is `density`."""
    bias_density: float | None = None
    """Density of bias vectors. By default it is `density`."""
    min_alive: int = 4
    """Number of weights that every neuron and attention channel keeps (rows of c_attn and c_fc, columns of c_proj);
    paper: 4."""
    anneal: Literal["linear", "power", "exponential"] = "linear"
    """How density falls: linearly, as a power of the share of training done (a straight line on a log-log plot), or
    exponentially."""
    anneal_start: float = 0.01
    """Share of training after which density begins to fall from 1."""
    anneal_end: float = 0.5
    """Share of training at which density reaches its target (paper: 0.5; 0.8 for its largest, sparsest models)."""
    memory: float = 0.0
    """When the projection sets a weight to zero, this share of its value is remembered outside the model, and the
    weight's next step starts from there (paper: 0)."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("density", "embedding_density", "bias_density"):
            value = getattr(self, name)
            require(value is None or 0 < value <= 1, f"{name} must be above 0 and at most 1, got {value}")
        require(self.min_alive >= 0, f"min_alive must be 0 or more, got {self.min_alive}")
        require(
            0 <= self.anneal_start < self.anneal_end <= 1,
            f"annealing needs 0 <= anneal_start < anneal_end <= 1, got {self.anneal_start} and {self.anneal_end}",
        )
        require(0 <= self.memory <= 1, f"memory must be a share from 0 to 1, got {self.memory}")
        require(self.anneal != "power" or self.anneal_start > 0, "anneal=power needs anneal_start above 0")

    @property
    def is_sparse(self) -> bool:
        """Whether the target density is below 1 for any kind of tensor."""
        return min(self.density, self.density_of("embedding"), self.density_of("bias")) < 1

    def density_of(self, kind: str) -> float:
        """Target density of a kind of tensor. kind: `embedding`, `bias`, or another name for all other tensors."""
        override = {"embedding": self.embedding_density, "bias": self.bias_density}.get(kind)
        return self.density if override is None else override


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW on gradients scaled to a root mean square (RMS) of 1 (paper, section A.3)."""

    lr: float = 1e-2
    """Learning rate at the final L0. The schedule multiplies it by sqrt(target density / current density)."""
    warmup: float = 0.01
    """Share of training over which the learning rate rises linearly from 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the first and second moments."""
    eps: float = 0.1
    """AdamW's epsilon. It is unusually large, because it assumes gradients with an RMS of 1, and its size matters
    (dense baselines: 1e-8)."""
    bigram_eps: float = 1e-8
    """AdamW's epsilon for the bigram table, which does not depend on `eps`. A given pair of tokens is rare in a batch,
    so its gradient is far below an epsilon that suits the other weights. With 0.1 the table hardly learns, and circuits
    must then contain what it would know."""
    weight_decay: float = 0.1
    """Decoupled decay of weight matrices. Biases, norms, sink logits and the bigram table do not decay."""
    gradient_rms: Literal["normalize", "clip", "off"] = "normalize"
    """Whether all gradients are divided by their joint root mean square: always (`normalize`, as in the paper's
    training script), only if it exceeds 1 (`clip`, as in the paper), or never (`off`)."""

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.lr > 0, f"lr must be above 0, got {self.lr}")
        require(0 <= self.warmup < 1, f"warmup must be a share of training, at least 0 and below 1, got {self.warmup}")
        for name in ("eps", "bigram_eps"):
            require(getattr(self, name) > 0, f"{name} must be above 0, got {getattr(self, name)}")
        require(self.weight_decay >= 0, f"weight_decay must be 0 or more, got {self.weight_decay}")
        require(
            all(0 <= beta < 1 for beta in self.betas),
            f"betas must be two numbers, each at least 0 and below 1, got {self.betas}",
        )


Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """A settings object as plain values, for JSON or YAML. If the object has its own method `to_dict`, that is used."""
    own = getattr(config, "to_dict", None)
    return asdict(config) if own is None else dict(own())


def from_dict(kind: type[Config], values: Any, source: str) -> Config:
    """A settings object from a dictionary; `UserError`, naming `source`, for an unknown key or a wrong value."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    require(isinstance(values, dict), f"{source} needs settings by name for a {kind.__name__}, not {shown(values)}")
    unknown = sorted(set(values) - known)
    first = unknown[0] if unknown else ""
    require(not unknown, f"{source} has the unknown key {first!r}; the known keys are {sorted(known)}")
    try:
        return kind(**values)
    except UserError as error:
        named = source in str(error)
        raise UserError(str(error) if named else f"{source.rstrip(',')}: {error}") from None
    except TypeError as error:
        raise UserError(f"{source} does not describe a {kind.__name__}: {error}") from None
