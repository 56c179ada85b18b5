"""TransformerLens's interface for looking into a model: `run_with_cache` and `run_with_hooks` over our sites.

A site has our name (model.sites) and, if TransformerLens has a name with the same meaning, that name as an alias. Under
an alias a tensor has TransformerLens's shape: q, k and v are [B, T, H, d_head] instead of [B, T, A]. Where AbsTopK
acts, a site shows the values after it. Shapes: B rows, T positions, C channels of a site, H heads, A = H * d_head,
V vocabulary.
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
"""Called as fn(tensor, hook=HookPoint); a tensor that it returns replaces the one it was given."""
NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
ReturnType = Literal["logits", "loss", "both"] | None


class SitedModel(Protocol):
    """What this file needs from a model. A protocol, because the model itself imports this file."""

    @property
    def config(self) -> GPTConfig: ...

    def __call__(self, tokens: Tensor, *, site: Site) -> Tensor: ...


@dataclass
class HookPoint:
    """Tells a hook function which site called it."""

    name: str
    """The name that the caller used: a site or an alias."""
    ctx: dict[str, Any] = field(default_factory=dict)
    """Storage for hook functions, as in TransformerLens; empty at the start of each `run_with_hooks`."""

    def layer(self) -> int:
        """The site's layer; `UserError` for a site outside the layers."""
        for part in self.name.split("."):
            if part.isdigit():
                return int(part)
        raise UserError(f"{self.name} is not in a layer")


class UnknownSite(UserError, KeyError):
    """A name that is no site of the model, or that a cache does not hold."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotes


class ActivationCache(Mapping[str, Tensor]):
    """The activations of one run: site -> [B, T, C], detached. An alias gives the same tensor in the alias's shape.

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
    """(logits, loss, both or None, as `return_type` says; cache). See `GPT.run_with_cache`."""
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
    """Logits, loss, both or None, as `return_type` says, of a run with hooks. See `GPT.run_with_hooks`."""
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
"""TransformerLens's name after `blocks.i.` -> our name after `i.`. Names for values that no site has (hook_z,
hook_pattern, hook_pre) are left out. So is `hook_normalized`, which shows the norm's output without its gain and bias,
while our `act_in` shows it with them and after AbsTopK."""


def site_names(config: GPTConfig) -> list[str]:
    """Every site, in the order in which the forward calls them."""
    places = sorted(NODE_PLACES + RESIDUAL_PLACES, key=lambda place: place.startswith("mlp"))  # stable
    return ["embed", *(f"{layer}.{place}" for layer in range(config.n_layer) for place in places), "final.act_in"]


def aliases(config: GPTConfig) -> dict[str, str]:
    """TransformerLens's name -> our site, for every name that means the same in a model of this config."""
    found = {}
    if config.positions != "learned":  # else `embed` includes the positions, and hook_embed does not
        found["hook_embed"] = "embed"
    for layer in range(config.n_layer):
        found[f"blocks.{layer}.hook_resid_pre"] = "embed" if layer == 0 else f"{layer - 1}.mlp.resid_post"
        found |= {f"blocks.{layer}.{theirs}": f"{layer}.{ours}" for theirs, ours in LAYER_ALIASES.items()}
    return found


def site_of(config: GPTConfig, name: str) -> str:
    """The site of a name or alias; `UnknownSite` for any other name, with the most similar names."""
    named = aliases(config)
    sites = site_names(config)
    if name in sites:
        return name
    if name not in named:
        near = difflib.get_close_matches(name, [*sites, *named], n=3) or sites[:3]
        raise UnknownSite(f"the model has no site {name!r}; there are {', '.join(near)} and others (model/sites.py)")
    return named[name]


def selected(config: GPTConfig, names_filter: NamesFilter) -> set[str]:
    """The sites that a filter selects: None for all, a name, several names, or a function of a name or alias."""
    if names_filter is None:
        return set(site_names(config))
    if isinstance(names_filter, str):
        return {site_of(config, names_filter)}
    if callable(names_filter):
        return set(matching(config, names_filter))
    if not names_filter:
        raise UnknownSite(f"the names filter is an empty list, which selects no site; {_what_there_is(config)}")
    return {site_of(config, name) for name in names_filter}


def matching(config: GPTConfig, chosen: Callable[[str], bool]) -> dict[str, str]:
    """Site -> the first of its names that a filter function accepts; our own name is tried before the aliases.

    `UnknownSite` if it accepts none.
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
    """One sentence with all names; those of a layer appear once, with `i` for the layer."""
    own = [name.replace("0.", "{i}.", 1) for name in site_names(config) if name == "embed" or name.startswith("0.")]
    theirs = [f"blocks.{{i}}.{name}" for name in ("hook_resid_pre", *LAYER_ALIASES)]
    return (
        f"there are {', '.join(own)} and final.act_in for layers i from 0 to {config.n_layer - 1}, "
        f"and TransformerLens's {', '.join(theirs)}"
    )


def as_seen(config: GPTConfig, name: str, x: Tensor) -> Tensor:
    """A site's tensor in the shape that belongs to the name: an alias of q, k or v has an axis for the heads."""
    if name.endswith((".hook_q", ".hook_k", ".hook_v")):
        return x.unflatten(-1, (config.n_head, config.d_head))
    return x


def _full_name(config: GPTConfig, name: str, layer: int) -> str:
    """`("q", 3)` -> `blocks.3.attn.hook_q`, TransformerLens's shorthand; layer -1 is the last."""
    layer = layer % config.n_layer
    for candidate in (name, f"hook_{name}", f"attn.hook_{name}", f"mlp.hook_{name}"):
        if f"blocks.{layer}.{candidate}" in aliases(config):
            return f"blocks.{layer}.{candidate}"
    return f"{layer}.{name}"
