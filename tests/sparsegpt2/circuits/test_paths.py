from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits import host
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.model.sites import node_sites

MakeMasks = Callable[[GPT, dict[str, list[int]]], dict[str, Tensor]]
Node = tuple[str, int]


def empty_model(n_layer: int = 1, **changes: object) -> GPT:
    """All weights zero: two heads of two channels, width 4, four neurons; means 1 everywhere."""
    shape = {"vocab_size": 5, "context": 4, "d_model": 4, "d_head": 2, "d_mlp": 4, "sink": False}
    model = GPT(GPTConfig(n_layer=n_layer, **{**shape, **changes})).requires_grad_(False)  # type: ignore[arg-type]
    for parameter in model.parameters():
        parameter.zero_()
    model.means = {site: torch.ones(width) for site, width in node_sites(model.config).items()}
    return model


def kept_after_trimming(model: GPT, nodes: dict[str, Tensor]) -> dict[str, list[int]]:
    trimmed = Circuit(nodes).trimmed(model)
    return {site: mask.nonzero().flatten().tolist() for site, mask in trimmed.nodes.items() if mask.any()}


@pytest.fixture
def mlp_chain() -> GPT:
    """Embedding channel 0 -> neuron 1 -> residual channel 2 -> logits."""
    model = empty_model()
    mlp = model.blocks[0].mlp
    model.wte.weight[3, 0] = mlp.c_fc.weight[1, 0] = mlp.c_proj.weight[2, 1] = model.unembed.weight[4, 2] = 1.0
    return model


def test_a_whole_model_is_trimmed_to_its_one_chain(mlp_chain: GPT) -> None:
    chain = {"0.mlp.act_in": [0], "0.mlp.post_act": [1], "0.mlp.resid_delta": [2]}
    assert kept_after_trimming(mlp_chain, every_node(mlp_chain)) == chain
    assert Circuit(every_node(mlp_chain)).trimmed(mlp_chain).edges(mlp_chain) == 2


@pytest.mark.parametrize(
    "cut", ["wte.weight", "blocks.0.mlp.c_fc.weight", "blocks.0.mlp.c_proj.weight", "unembed.weight"]
)
def test_a_chain_cut_anywhere_leaves_nothing(mlp_chain: GPT, cut: str) -> None:
    mlp_chain.get_parameter(cut).zero_()
    assert kept_after_trimming(mlp_chain, every_node(mlp_chain)) == {}


def test_a_channel_is_read_only_from_earlier_writers_of_the_same_channel() -> None:
    model = empty_model(n_layer=2)
    first, second = model.blocks[0].mlp, model.blocks[1].mlp
    model.wte.weight[0, 0] = first.c_fc.weight[0, 0] = first.c_proj.weight[3, 0] = 1.0
    second.c_fc.weight[1, 3] = second.c_proj.weight[2, 1] = model.unembed.weight[0, 2] = 1.0
    both = {
        "0.mlp.act_in": [0],
        "0.mlp.post_act": [0],
        "0.mlp.resid_delta": [3],
        "1.mlp.act_in": [3],
        "1.mlp.post_act": [1],
        "1.mlp.resid_delta": [2],
    }
    assert kept_after_trimming(model, every_node(model)) == both
    without_reader = every_node(model)
    without_reader["1.mlp.act_in"][3] = False
    assert kept_after_trimming(model, without_reader) == {}
    model.unembed.weight[0, 3] = 1.0  # now the first layer's write reaches the logits by itself
    assert kept_after_trimming(model, without_reader) == {site: both[site] for site in list(both)[:3]}


@pytest.fixture
def head() -> GPT:
    """Channel 0 feeds q, k and v channel 0 of head 0; v writes residual channel 1, which is read out."""
    model = empty_model()
    attention = model.blocks[0].attn
    model.wte.weight[0, 0] = attention.c_proj.weight[1, 0] = model.unembed.weight[0, 1] = 1.0
    attention.c_attn.weight[[0, 4, 8], 0] = 1.0  # rows 0, 4 and 8: channel 0 of q, of k and of v
    return model


OV = {"0.attn.act_in": [0], "0.attn.v": [0], "0.attn.resid_delta": [1]}
QK = {"0.attn.q": [0], "0.attn.k": [0]}


def test_q_and_k_need_a_kept_v_in_their_head(head: GPT, make_masks: MakeMasks) -> None:
    assert kept_after_trimming(head, make_masks(head, OV | QK)) == OV | QK
    assert kept_after_trimming(head, make_masks(head, OV)) == OV
    without_v = {site: channels for site, channels in (OV | QK).items() if site != "0.attn.v"}
    assert kept_after_trimming(head, make_masks(head, without_v)) == {}
    head.blocks[0].attn.c_attn.weight[[2, 6], 0] = 1.0  # the other head has q and k, but nothing reads its v
    other_head = {"0.attn.q": [0, 2], "0.attn.k": [0, 2]}
    assert kept_after_trimming(head, make_masks(head, OV | other_head)) == OV | QK


def test_an_ablated_partner_is_a_constant(head: GPT, make_masks: MakeMasks) -> None:
    assert head.means is not None
    with_k, with_q = OV | {"0.attn.k": [0]}, OV | {"0.attn.q": [0]}
    assert kept_after_trimming(head, make_masks(head, with_k)) == with_k  # a constant query still scores keys
    assert kept_after_trimming(head, make_masks(head, with_q)) == OV  # a constant key cancels in the softmax
    head.means["0.attn.q"][0] = 0
    assert kept_after_trimming(head, make_masks(head, with_k)) == OV
    head.means = None  # unknown means count as not zero
    assert kept_after_trimming(head, make_masks(head, with_k)) == with_k


def test_a_sink_lets_a_query_act_on_a_constant_key_and_a_constant_value() -> None:
    model = empty_model(sink=True)
    attention = model.blocks[0].attn
    model.wte.weight[0, 0] = attention.c_proj.weight[1, 0] = model.unembed.weight[0, 1] = 1.0
    attention.c_attn.weight[0, 0] = 1.0  # only q reads an input
    threshold = {"0.attn.act_in": [0], "0.attn.q": [0], "0.attn.v": [0], "0.attn.resid_delta": [1]}
    assert kept_after_trimming(model, every_node(model)) == threshold | {} | {}
    assert model.means is not None
    model.means["0.attn.k"][0] = 0
    without_k = every_node(model)
    without_k["0.attn.k"][0] = False
    assert kept_after_trimming(model, without_k) == {}


def test_a_partner_that_falls_takes_the_other_with_it(head: GPT, make_masks: MakeMasks) -> None:
    assert head.means is not None
    head.blocks[0].attn.c_attn.weight[0, 0] = 0.0  # q is kept but nothing feeds it, and its mean is zero
    head.means["0.attn.q"][0] = 0
    assert kept_after_trimming(head, make_masks(head, OV | QK)) == OV


def test_a_mask_over_weights_cuts_paths(mlp_chain: GPT) -> None:
    kept = torch.ones(4, 4, dtype=torch.bool)
    weights = {"blocks.0.mlp.c_fc.weight": kept}
    assert Circuit(every_node(mlp_chain), weights).trimmed(mlp_chain).n_nodes == 3
    kept[1, 0] = False
    assert Circuit(every_node(mlp_chain), weights).trimmed(mlp_chain).n_nodes == 0


def brute_force(model: GPT, nodes: dict[str, Tensor]) -> set[Node]:
    """The rules of `paths`, as an explicit graph of single nodes that is searched until nothing falls away."""
    kept = {(site, c) for site, mask in nodes.items() for c in range(len(mask)) if mask[c]}
    while True:
        live = _reachable(model, kept, kept, forward=True)
        smaller = _reachable(model, kept, live, forward=False)
        if smaller == kept:
            return kept
        kept = smaller


def _reachable(model: GPT, kept: set[Node], allowed: set[Node], *, forward: bool) -> set[Node]:
    found: set[Node] = set()
    live = allowed  # on the way back, `allowed` is what the way out found
    while True:
        edges = list(_arcs(model, kept, found if forward else live))
        found_now = _search({"IN"} if forward else {"OUT"}, edges if forward else [(b, a) for a, b in edges], allowed)
        if found_now == found:
            return found
        found = found_now


def _search(start: set[object], edges: list[tuple[object, object]], allowed: set[Node]) -> set[Node]:
    found, frontier = set(start), set(start)
    while frontier:
        frontier = {b for a, b in edges if a in frontier and b in allowed and b not in found}
        found |= frontier
    return found - start  # type: ignore[return-value]


def _arcs(model: GPT, kept: set[Node], live: set[Node]) -> Iterable[tuple[object, object]]:
    """Arcs of the graph, given which nodes are known to depend on an input."""
    config, width = model.config, model.config.d_attn
    kinds = [(layer, kind) for layer in range(config.n_layer) for kind in ("attn", "mlp")]
    for place, (layer, kind) in enumerate(kinds):
        block = getattr(model.blocks[layer], kind)
        name = f"{layer}.{kind}"
        for c in range(config.d_model):
            if model.wte.weight[:, c].any() or (config.positions == "learned" and model.wpe.weight[:, c].any()):
                yield "IN", (f"{name}.act_in", c)
            if model.unembed.weight[:, c].any():
                yield (f"{name}.resid_delta", c), "OUT"
            for later, other in kinds[place + 1 :]:
                yield (f"{name}.resid_delta", c), (f"{later}.{other}.act_in", c)
        hidden = [("q", 0), ("k", width), ("v", 2 * width)] if kind == "attn" else [("post_act", 0)]
        first = block.c_attn if kind == "attn" else block.c_fc
        for part, offset in hidden:
            for out in range(width if kind == "attn" else config.d_mlp):
                for into in range(config.d_model):
                    if first.weight[offset + out, into] != 0:
                        yield (f"{name}.act_in", into), (f"{name}.{part}", out)
                if first.weight[offset + out, config.d_model :].any():
                    yield "IN", (f"{name}.{part}", out)
        for out, into in block.c_proj.weight.nonzero().tolist():
            yield (f"{name}.{hidden[-1][0]}", into), (f"{name}.resid_delta", out)
        if kind == "attn":
            yield from _attention_arcs(model, name, first.weight, kept, live)


def _attention_arcs(
    model: GPT, name: str, weight: Tensor, kept: set[Node], live: set[Node]
) -> Iterable[tuple[object, object]]:
    assert model.means is not None
    config = model.config

    def constant(part: str, j: int) -> bool:
        return (f"{name}.{part}", j) in kept or float(model.means[f"{name}.{part}"][j]) != 0  # type: ignore[index]

    for i in range(config.d_attn):
        row = weight[2 * config.d_attn + i]
        by_itself = bool(row[config.d_model :].any()) or any(
            row[c] != 0 and (f"{name}.act_in", c) in live for c in range(config.d_model)
        )
        if not (config.sink or by_itself):
            continue
        for j in range(i // config.d_head * config.d_head, (i // config.d_head + 1) * config.d_head):
            if constant("q", j):
                yield (f"{name}.k", j), (f"{name}.v", i)
            if (f"{name}.k", j) in live or (config.sink and constant("k", j)):
                yield (f"{name}.q", j), (f"{name}.v", i)


@pytest.mark.parametrize("seed", range(24))
def test_trimming_equals_a_search_of_the_graph(seed: int) -> None:
    torch.manual_seed(seed)
    positions = ("none", "learned", "concat_learned")[seed % 3]
    extra = {"d_pos": 2} if positions.startswith("concat") else {}
    model = empty_model(n_layer=2, sink=seed % 2 == 0, positions=positions, **extra)
    for name, parameter in model.named_parameters():
        share = 0.04 if name in ("wte.weight", "wpe.weight") else 0.25
        parameter.copy_((torch.rand_like(parameter) < share).float())
    assert model.means is not None
    model.means = {site: (torch.rand_like(mean) < 0.5).float() for site, mean in model.means.items()}
    nodes = {site: torch.rand(width) < 0.7 for site, width in node_sites(model.config).items()}
    trimmed = kept_after_trimming(model, nodes)
    assert {(site, c) for site, channels in trimmed.items() for c in channels} == brute_force(model, nodes)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_a_fixed_number_of_sweeps_drops_all_that_falls(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the CPU sweeps are counted and not compared, as a comparison would wait for the device."""
    generator, dropped = torch.Generator().manual_seed(layers), 0
    for trial in range(40):
        shape = {"vocab_size": 6, "context": 4, "d_model": 4, "d_head": 2, "d_mlp": 4, "activation_density": 1.0}
        model = GPT(GPTConfig(**shape, n_layer=layers, sink=trial % 4 > 0)).requires_grad_(False)
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.5)
        sites = node_sites(model.config)
        model.means = {site: (torch.rand(width, generator=generator) < 0.2).float() for site, width in sites.items()}
        nodes = {site: torch.rand(width, generator=generator) < 0.8 for site, width in sites.items()}
        exact = nodes_on_paths(model, nodes)
        with monkeypatch.context() as patch:
            patch.setattr(host, "looks_are_free", lambda _device: False)
            counted = nodes_on_paths(model, nodes)
        again = nodes_on_paths(model, exact)
        for site in nodes:
            assert torch.equal(counted[site], exact[site]) and torch.equal(again[site], exact[site])
            dropped += int((nodes[site] & ~exact[site]).sum())
    assert dropped > 0
