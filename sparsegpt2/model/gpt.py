"""The model: a GPT-2-style decoder with AbsTopK, sinks and a bigram table (paper, section 2.1 and A.1).

This is the only forward pass. Shapes: B rows, T positions, C channels of a site, D d_model, P d_pos, V vocabulary.

Parameters, the residual stream and the norms are float32. Linear maps, attention and the nonlinearity run in
`model.compute_dtype` (float32 unless set). A linear map casts its weights to that dtype when it is called.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsegpt2.config import GPTConfig
from sparsegpt2.errors import UserError
from sparsegpt2.kernels.fused import norm_topk
from sparsegpt2.kernels.loss import next_token_loss
from sparsegpt2.kernels.product import faster_product
from sparsegpt2.model import hooks, prompts
from sparsegpt2.model.layers import Block, Norm, Sublayer, Table, at_position, linear
from sparsegpt2.model.prompts import Prompt
from sparsegpt2.model.sites import Site, Streams

if TYPE_CHECKING:
    from sparsegpt2.text.tokenizer import Tokenizer


class GPT(nn.Module):
    """`model(tokens [B, T] int64) -> logits [B, T, V]`; parameters are float32.

    For one prompt (B = 1) a row of tokens [T], a list of ids or a text works too. A text gets an end-of-text token in
    front.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.source = ""
        """Where the model was loaded from, as the caller named it; empty for a new model."""
        self.folder: Path | None = None
        """The directory that holds its files; None for a new model."""
        self._tokenizer: Tokenizer | None = None
        self.compute_dtype = torch.float32
        self.means: dict[str, Tensor] | None = None
        """Mean of each node over pretraining text: site -> [C] float32 (circuits.means). Saved with the model."""
        self.wte = Table(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.wpe = Table(config.context, config.d_model)
        elif config.positions == "concat_learned":
            self.wpe = Table(config.context, config.d_pos)
        elif config.positions == "concat_sinusoidal":
            self.register_buffer("sinusoids", sinusoids(config.context, config.d_pos), persistent=False)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = Norm(config, config.d_model)
        self.unembed = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied_unembedding:
            self.unembed.weight = self.wte.weight
        self.bigram = nn.Parameter(torch.zeros(config.vocab_size, config.vocab_size)) if config.bigram_table else None
        self.logits_bias: Tensor | None  # a buffer: it comes with imported models, and is never trained or sparsified
        self.register_buffer("logits_bias", torch.zeros(config.vocab_size) if config.logits_bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights from Normal(0, init_std); divide those that write the residual stream by sqrt(2 n_layer).

        Biases, sink logits and the bigram table start at zero, norm weights at one. A model on the meta device has no
        values to set.
        """
        if self.wte.weight.is_meta:
            return
        std = self.config.init_std
        for name, parameter in self.named_parameters():
            if name.endswith(("bias", "sink")) or name == "bigram":
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            else:
                scale = math.sqrt(2 * self.config.n_layer) if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, mean=0.0, std=std / scale)

    def __repr__(self) -> str:
        shape, layers = self.config, [layer for layer in self.modules() if isinstance(layer, nn.Linear | nn.Embedding)]
        # by id, so that a tied matrix counts once
        weights = {id(weight): weight for layer in layers for weight in layer.parameters()}.values()
        size = sum(weight.numel() for weight in weights)
        density = ""
        if not self.wte.weight.is_meta:
            l0 = sum(int(weight.count_nonzero()) for weight in weights)
            density = f"L0 {l0:,} (density {l0 / size:.3g}) "
        return (
            f"GPT({self.source}{': ' if self.source else ''}{shape.n_layer} layers, width {shape.d_model}, "
            f"{shape.n_head} heads, vocabulary {shape.vocab_size:,}, context {shape.context}; "
            f"{density}of {size:,} weights)"
        )

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that was set, else the one saved with the model (read at first use), else None."""
        from sparsegpt2.locate import TOKENIZER
        from sparsegpt2.text.tokenizer import Tokenizer

        if self._tokenizer is None and self.folder is not None and (self.folder / TOKENIZER).is_file():
            tokenizer = Tokenizer.load(self.folder)
            if tokenizer.vocab_size > self.config.vocab_size:
                raise UserError(
                    f"the tokenizer in {self.folder} has {tokenizer.vocab_size:,} tokens, more than the "
                    f"{self.config.vocab_size:,} of the model; it belongs to another model"
                )
            self._tokenizer = tokenizer
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer

    @property
    def layers(self) -> list[Block]:
        """The blocks as a list: a `ModuleList` types its items as plain modules."""
        return list(self.blocks)  # type: ignore[arg-type]

    @property
    def sublayers(self) -> list[Sublayer]:
        """Attention and MLP of layer 0, of layer 1, ...: the steps of the residual stream."""
        return [sublayer for block in self.layers for sublayer in (block.attn, block.mlp)]

    if TYPE_CHECKING:  # torch calls `forward`, but types a call as Any

        def __call__(
            self,
            tokens: Prompt,
            *,
            site: Site | None = None,
            position: Tensor | None = None,
            position_only: bool = False,
            streams: Streams | None = None,
        ) -> Tensor: ...

    def forward(
        self,
        tokens: Prompt,
        *,
        site: Site | None = None,
        position: Tensor | None = None,
        position_only: bool = False,
        streams: Streams | None = None,
    ) -> Tensor:
        """Logits of the next token.

        tokens: [B, T] int64, T at most `config.context`, or anything that `rows` accepts.
        site: called at every named site; it may change the tensor there (model.sites).
        position: [B] int64; if given, only the logits at that position of each row are computed.
        position_only: skip the parts of the last layer that the logits at `position` do not use. The sites of that
        layer then see x only at `position`, [B, 1, C], except act_in, k and v of its attention. Ignored with `streams`.
        streams: gives each reader of the residual stream its own input (model.sites).
        Returns [B, T, V], or [B, V] with `position`, in `compute_dtype`.
        """
        tokens = self.rows(tokens)
        x = self.embed(tokens, site=site)
        if position is not None and position_only and streams is None:
            return self.logits(self.run_to(x, position, site=site), at_position(tokens, position), site=site)
        x = self.run(x, site=site, streams=streams)
        if streams is not None:
            x = streams.read("logits", x)
        if position is not None:
            x, tokens = at_position(x, position), at_position(tokens, position)
        return self.logits(x, tokens, site=site)

    def rows(self, prompt: Prompt) -> Tensor:
        """Rows of tokens [B, T] int64 from rows, one row [T], a list of ids, or a text (end of text is put in front).

        `UserError` for a text if the model has no tokenizer, for floats (also a `TypeError`), for any other shape, and
        for empty rows.
        """
        if isinstance(prompt, str):
            return prompts.text_row(prompt, self.tokenizer, self.wte.weight.device)
        return prompts.token_rows(prompt, self.wte.weight.device)

    @overload
    def generate(self, prompt: str, tokens: int = 50, temperature: float = 0.0, seed: int = 0) -> str: ...

    @overload
    def generate(
        self, prompt: Tensor | Sequence[int], tokens: int = 50, temperature: float = 0.0, seed: int = 0
    ) -> Tensor: ...

    def generate(self, prompt: Prompt, tokens: int = 50, temperature: float = 0.0, seed: int = 0) -> str | Tensor:
        """`prompt` and its continuation: a text for a text, [T + N] for a row, [B, T + N] for rows.

        tokens: the largest number of new tokens, N. Generation stops early once every row has produced end of text;
        rows that stop before others are padded with it, and a text is returned without it. temperature: 0 takes the
        likeliest token; other values divide the logits before a token is sampled with `seed`. The model sees only the
        last `config.context` tokens.
        """
        rows = self.rows(prompt)
        made = prompts.continued(
            self,
            rows,
            tokens,
            context=self.config.context,
            temperature=temperature,
            seed=seed,
            end=None if self.tokenizer is None else self.tokenizer.end_of_text,
        )
        if not isinstance(prompt, str):
            return made if isinstance(prompt, Tensor) and prompt.dim() == 2 else made[0]
        assert self.tokenizer is not None  # `rows` needed it to read the prompt
        new = made[0, rows.shape[1] :].tolist()
        return prompt + self.tokenizer.decode(id for id in new if id != self.tokenizer.end_of_text)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats per token, a float32 scalar; tokens and targets [B, T] int64.

        Equal to the cross-entropy of `forward`'s logits, summed in float32. The logits are never stored whole, except
        in a model with `logits_bias`.
        """
        tokens = self.rows(tokens)
        if self.logits_bias is not None:
            return F.cross_entropy(self(tokens).flatten(0, 1).float(), targets.flatten())
        x = self.run(self.embed(tokens))
        if self.norm.kind == "rms":
            h = norm_topk(x, self.norm.weight, self.norm.eps, None, self.compute_dtype)
        else:
            h = self.norm(x).to(self.compute_dtype)
        return next_token_loss(h.flatten(0, 1), self.unembed.weight, self.bigram, tokens.flatten(), targets.flatten())

    def run_with_cache(
        self,
        tokens: Prompt,
        names_filter: hooks.NamesFilter = None,
        return_type: hooks.ReturnType = "logits",
        remove_batch_dim: bool = False,
    ) -> tuple[Any, hooks.ActivationCache]:
        """(logits [B, T, V], cache of the activations at every site), as in TransformerLens.

        tokens: as in `forward`. names_filter: which sites to keep: a name, a list of names, or a function of a name.
        Our names and TransformerLens's both work (model.hooks). return_type: "logits", "loss" (next token, in nats),
        "both" or None. remove_batch_dim: drop the first axis of cached tensors; needs a batch of one row. Raises
        `hooks.UnknownSite` (a `UserError`) for an unknown name and for a filter that matches no site.
        """
        return hooks.run_with_cache(self, self.rows(tokens), names_filter, return_type, remove_batch_dim)

    def run_with_hooks(
        self,
        tokens: Prompt,
        fwd_hooks: Sequence[tuple[str | Callable[[str], bool], hooks.HookFunction]] = (),
        return_type: hooks.ReturnType = "logits",
    ) -> Any:
        """Logits [B, T, V] with functions called at sites, as in TransformerLens.

        fwd_hooks: pairs (name, or function of a name; fn). fn(tensor, hook=point) may return a tensor of the same
        shape, which replaces the site's tensor. return_type and errors: as in `run_with_cache`.
        """
        return hooks.run_with_hooks(self, self.rows(tokens), fwd_hooks, return_type)

    def to_sparse(self, tokens: int = 256) -> GPT:
        """A copy for inference whose linear maps use sparse weights wherever they are faster, as measured now.

        tokens: how many tokens a call will typically have, over all rows. Logits equal this model's up to rounding.
        The copy takes no gradients of its weights. Keep it on this model's device and in its `compute_dtype`.
        """
        model = copy.deepcopy(self).eval().requires_grad_(False)
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.sparse_product = faster_product(layer.weight, self.compute_dtype, tokens)  # type: ignore[assignment]
        return model

    def embed(self, tokens: Tensor, *, site: Site | None = None) -> Tensor:
        """tokens [B, T] -> residual stream before the first sublayer [B, T, D], float32."""
        if tokens.shape[1] > self.config.context:
            raise UserError(f"{tokens.shape[1]} tokens do not fit in the model's context of {self.config.context}")
        x = prompts.look_up(self.wte, tokens, self.config).float()
        if self.config.positions == "learned":
            x = x + self.wpe.weight[: tokens.shape[1]].float()
        return x if site is None else site("embed", x)

    def run(
        self,
        x: Tensor,
        *,
        site: Site | None = None,
        start: int = 0,
        stop: int | None = None,
        streams: Streams | None = None,
    ) -> Tensor:
        """Carry the residual stream [B, T, D] through sublayers `start` to `stop` (excluded; None: to the last).

        With `streams`, the x that is passed in counts as what the writer `emb` wrote.
        """
        positions = self.position_channels(x.shape[1])
        if streams is not None:
            streams.wrote("emb", x)
        for sublayer in self.sublayers[start:stop]:
            x = sublayer(x, positions, site, self.compute_dtype, streams=streams)
        return x

    def run_to(self, x: Tensor, position: Tensor, *, site: Site | None = None) -> Tensor:
        """What `run` returns at `position` [B] of each row, [B, D]; the last layer is computed only there."""
        attention, mlp = self.layers[-1].attn, self.layers[-1].mlp
        positions = self.position_channels(x.shape[1])
        x = self.run(x, site=site, stop=-2)
        x = attention(x, positions, site, self.compute_dtype, position)
        here = None if positions is None else positions[position][:, None]  # [B, 1, P]
        return mlp(x, here, site, self.compute_dtype)[:, 0]

    def logits(self, x: Tensor, tokens: Tensor, *, site: Site | None = None) -> Tensor:
        """Residual stream [..., D] and the tokens [...] at its positions -> logits [..., V] in `compute_dtype`."""
        h = self.norm(x).to(self.compute_dtype)
        if site is not None:
            h = site("final.act_in", h)
        logits = linear(h, self.unembed)
        if self.bigram is not None:
            logits = logits + F.embedding(tokens, self.bigram).to(logits.dtype)
        if self.logits_bias is not None:
            logits = logits + self.logits_bias.to(logits.dtype)
        return logits

    def position_channels(self, length: int) -> Tensor | None:
        """Concatenated position channels [T, P] float32, or None if the model has none."""
        if self.config.positions == "concat_learned":
            return self.wpe.weight[:length].float()
        if self.config.positions == "concat_sinusoidal":
            return self.get_buffer("sinusoids")[:length]
        return None


def sinusoids(length: int, width: int) -> Tensor:
    """Sines, then cosines, of geometrically spaced wavelengths, [length, width] float32.

    Source: Vaswani et al. 2017, "Attention Is All You Need" (arXiv 1706.03762), section 3.5.
    """
    half = (width + 1) // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32) / half)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
