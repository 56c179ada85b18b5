"""Looking into a model by the habits of TransformerLens: `run_with_cache` and `run_with_hooks` over our sites.

Sites have our names (model.sites) and, where the meaning is the same, TransformerLens's as aliases. Under an alias a
tensor has the shape it has there: q, k and v are [B, T, H, d_head] instead of [B, T, A]. Where AbsTopK acts, a site is
what the network goes on with, after AbsTopK. Shapes: B rows, T positions, C channels, H heads, V vocabulary.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.config import NODE_PLACES, RESIDUAL_PLACES, GPTConfig
from sparsegpt2.errors import UserError
from sparsegpt2.model.sites import Site

HookFunction = Callable[..., Tensor | None]
"""Called as fn(tensor, hook=HookPoint); what it returns, if anything, takes the tensor's place."""
NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
ReturnType = Literal["logits", "loss", "both"] | None


class SitedModel(Protocol):
    """What this file needs of a model. A protocol, as the model itself imports this file."""

    @property
    def config(self) -> GPTConfig: ...

    def __call__(self, tokens: Tensor, *, site: Site) -> Tensor: ...


@dataclass
class HookPoint:
    """What a hook function is told of the place it was called at."""

    name: str
    """The name it was asked for by: a site or an alias."""
    ctx: dict[str, Any] = field(default_factory=dict)
    """Free for use by hook functions, as in TransformerLens; new for each call of the model."""

    def layer(self) -> int:
        """The layer the place is in; `UserError` for one outside the layers."""
        for part in self.name.split("."):
            if part.isdigit():
                return int(part)
        raise UserError(f"{self.name} is in no layer")


class UnknownSite(UserError, KeyError):
    """A name that the model has no site for, or that a cache does not hold."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotes


class ActivationCache(Mapping[str, Tensor]):
    """What a run went through: site -> [B, T, C], detached. An alias gives the same tensor in the alias's shape.

    `cache["0.attn.q"]`, `cache["blocks.0.attn.hook_q"]` and `cache["q", 0]` are the same activations.
    """

    def __init__(self, config: GPTConfig) -> None:
        self.config = config
        self._values: dict[str, Tensor] = {}

    def __getitem__(self, key: str | tuple[str, int]) -> Tensor:
        name = key if isinstance(key, str) else _full_name(self.config, *key)
        site = site_of(self.config, name)
        if site not in self._values:
            raise UnknownSite(f"the cache does not hold {name}: the names filter left it out")
        return as_seen(self.config, name, self._values[site])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        names = list(self._values)
        shown = ", ".join(names if len(names) <= 4 else [*names[:2], "...", names[-1]])
        first = f", {list(self._values[names[0]].shape)} at the first" if names else ""
        return f"ActivationCache({len(names)} site{'' if len(names) == 1 else 's'}: {shown}{first})"


def run_with_cache(
    model: SitedModel,
    tokens: Tensor,
    names_filter: NamesFilter = None,
    return_type: ReturnType = "logits",
    remove_batch_dim: bool = False,
) -> tuple[Any, ActivationCache]:
    """(what `return_type` asks for, cache); see `GPT.run_with_cache`."""
    if remove_batch_dim and len(tokens) != 1:
        raise UserError(f"remove_batch_dim needs a batch of one row, got {len(tokens)}")
    cache = ActivationCache(model.config)
    wanted = selected(model.config, names_filter)

    def keep(name: str, x: Tensor) -> Tensor:
        if name in wanted:
            cache._values[name] = x.detach()[0] if remove_batch_dim else x.detach()
        return x

    return _result(model(tokens, site=keep), tokens, return_type), cache


def run_with_hooks(
    model: SitedModel,
    tokens: Tensor,
    fwd_hooks: Sequence[tuple[str | Callable[[str], bool], HookFunction]] = (),
    return_type: ReturnType = "logits",
) -> Any:
    """What `return_type` asks for, with hooks; see `GPT.run_with_hooks`."""
    hooks: dict[str, list[tuple[HookPoint, HookFunction]]] = {}
    points: dict[str, HookPoint] = {}
    for chosen, function in fwd_hooks:
        names = [chosen] if isinstance(chosen, str) else list(matching(model.config, chosen).values())
        for name in names:
            point = points.setdefault(name, HookPoint(name))
            hooks.setdefault(site_of(model.config, name), []).append((point, function))

    def call(site: str, x: Tensor) -> Tensor:
        for point, function in hooks.get(site, ()):
            given = as_seen(model.config, point.name, x)
            returned = function(given, hook=point)
            if returned is None:
                continue
            if returned.shape != given.shape:
                raise UserError(
                    f"the hook at {point.name} returned shape {list(returned.shape)}; it must return "
                    f"{list(given.shape)} or None"
                )
            x = returned.reshape(x.shape).to(x.dtype)
        return x

    return _result(model(tokens, site=call), tokens, return_type)


def _result(logits: Tensor, tokens: Tensor, return_type: ReturnType) -> Any:
    if return_type not in ("logits", "loss", "both", None):
        raise UserError(f"return_type is {return_type!r}; it must be 'logits', 'loss', 'both' or None")
    if return_type in ("logits", None):
        return logits if return_type else None
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())
    return loss if return_type == "loss" else (logits, loss)


# --- Names ----------------------------------------------------------------------------------------------------------

LAYER_ALIASES = {
    "hook_resid_mid": "attn.resid_post",
    "hook_resid_post": "mlp.resid_post",
    "hook_attn_out": "attn.resid_delta",
    "hook_mlp_out": "mlp.resid_delta",
    "attn.hook_q": "attn.q",
    "attn.hook_k": "attn.k",
    "attn.hook_v": "attn.v",
    "mlp.hook_post": "mlp.post_act",
}
"""After `blocks.i.` -> after `i.`. Not here: names whose value is no site (hook_z, hook_pattern, hook_pre), and
`hook_normalized`, which is taken before the norm's gain and bias where `act_in` is taken after them and AbsTopK."""


def site_names(config: GPTConfig) -> list[str]:
    """Every site that the forward calls, in its order."""
    places = sorted(NODE_PLACES + RESIDUAL_PLACES, key=lambda place: place.startswith("mlp"))  # stable
    return ["embed", *(f"{layer}.{place}" for layer in range(config.n_layer) for place in places), "final.act_in"]


def aliases(config: GPTConfig) -> dict[str, str]:
    """TransformerLens's name -> our site, for every name whose meaning is the same in a model of this config."""
    found = {}
    if config.positions != "learned":  # with added positions, `embed` is their sum and hook_embed the tokens' part
        found["hook_embed"] = "embed"
    for layer in range(config.n_layer):
        found[f"blocks.{layer}.hook_resid_pre"] = "embed" if layer == 0 else f"{layer - 1}.mlp.resid_post"
        found |= {f"blocks.{layer}.{theirs}": f"{layer}.{ours}" for theirs, ours in LAYER_ALIASES.items()}
    return found


def site_of(config: GPTConfig, name: str) -> str:
    """The site a name or alias means; `UnknownSite` for another, with the nearest that there are."""
    named = aliases(config)
    sites = site_names(config)
    if name in sites:
        return name
    if name not in named:
        near = difflib.get_close_matches(name, [*sites, *named], n=3) or sites[:3]
        raise UnknownSite(f"the model has no site {name!r}; there are {', '.join(near)} and others (model/sites.py)")
    return named[name]


def selected(config: GPTConfig, names_filter: NamesFilter) -> set[str]:
    """Sites that a filter asks for: None for all, a name, several names, or a function of our names and aliases."""
    if names_filter is None:
        return set(site_names(config))
    if isinstance(names_filter, str):
        return {site_of(config, names_filter)}
    if callable(names_filter):
        return set(matching(config, names_filter))
    if not names_filter:
        raise UnknownSite(f"the names filter is an empty list, so nothing would be kept; {_what_there_is(config)}")
    return {site_of(config, name) for name in names_filter}


def matching(config: GPTConfig, chosen: Callable[[str], bool]) -> dict[str, str]:
    """Site -> the first of its names, our own before aliases, that a filter function chooses; once for each site.

    `UnknownSite` where it chooses none.
    """
    named = {site: site for site in site_names(config)} | aliases(config)
    found: dict[str, str] = {}
    for name, site in named.items():
        if site not in found and chosen(name):
            found[site] = name
    if not found:
        raise UnknownSite(f"the filter matches no site of the model; {_what_there_is(config)}")
    return found


def _what_there_is(config: GPTConfig) -> str:
    """Every name in one sentence, those of all layers once."""
    own = [name.replace("0.", "{i}.", 1) for name in site_names(config) if name == "embed" or name.startswith("0.")]
    theirs = [f"blocks.{{i}}.{name}" for name in ("hook_resid_pre", *LAYER_ALIASES)]
    return (
        f"there are {', '.join(own)} and final.act_in for layers i from 0 to {config.n_layer - 1}, "
        f"and TransformerLens's {', '.join(theirs)}"
    )


def as_seen(config: GPTConfig, name: str, x: Tensor) -> Tensor:
    """A site's tensor in the shape that the name promises: heads apart under an alias of q, k or v."""
    if name.endswith((".hook_q", ".hook_k", ".hook_v")):
        return x.unflatten(-1, (config.n_head, config.d_head))
    return x


def _full_name(config: GPTConfig, name: str, layer: int) -> str:
    """`("q", 3)` -> `blocks.3.attn.hook_q`, as TransformerLens's shorthand; layer -1 is the last."""
    layer = layer % config.n_layer
    for candidate in (name, f"hook_{name}", f"attn.hook_{name}", f"mlp.hook_{name}"):
        if f"blocks.{layer}.{candidate}" in aliases(config):
            return f"blocks.{layer}.{candidate}"
    return f"{layer}.{name}"
