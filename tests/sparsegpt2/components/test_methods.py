"""The methods: against finite differences and each other, on the planted model, and whatever the hash seed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.components import DiscoverConfig, discover, get_method, method_names
from sparsegpt2.components.attribution import edge_attributions
from sparsegpt2.components.counterfactual import INTERVENTIONS, record
from sparsegpt2.components.methods.edge_pruning import cut
from sparsegpt2.components.streams import EdgeMix, HeadConstants, HeadRun

PLANTED = ["emb→a0.h0.v", "a0.h0→m0", "m0→logits"]


class Nudge(EdgeMix):
    """Moves what one reader reads by `size` times one writer's difference, counterfactual less clean."""

    def __init__(self, problem, part, edge, size):
        super().__init__(problem.model, problem.graph, problem.everything(), part.other)
        self.edge, self.size = edge, size

    def read(self, reader, x):
        writer, wanted = self.edge
        if reader != wanted:
            return x
        mask = self.graph.present.float()
        mask[self.graph.writer_index[writer], self.graph.reader_index[reader]] = 0
        patched = EdgeMix(self.model, self.graph, mask, self.other)
        patched.run = self.run
        return x + self.size * (patched.read(reader, x) - x)


SMOOTH = [
    *("emb→a0.h0.q", "emb→m0", "a0.h1→a1.h0.v", "m0→a1.h1.k", "a1.h0→m1", "m1→logits", "a0.h0→logits"),
]
INTO_LOGITS = ["emb→logits", "a0.h0→logits", "a1.h1→logits", "m1→logits"]
"""Where AbsTopK acts, only these can be nudged without its choice of channels jumping somewhere behind them."""


@pytest.mark.parametrize("intervention", INTERVENTIONS)
@pytest.mark.parametrize(("options", "names"), [({}, SMOOTH), ({"activation_density": 0.5}, INTO_LOGITS)])
def test_eap_is_the_derivative_along_each_edge(make_model, make_problem, intervention, options, names):
    problem = make_problem(make_model(**options), intervention=intervention)
    trial = problem.trial("train", 8, 0)
    with frozen(problem.model, torch.float32):
        scores = edge_attributions(problem, trial, steps=1)
        for name in names:
            edge = tuple(name.split("→"))

            def loss(size, edge=edge):
                nudge = Nudge(problem, trial.parts[0], edge, size)
                with torch.no_grad():
                    logits = problem.run(trial.parts[0], nudge).double()
                batch = trial.batch
                right, wrong = (logits.gather(1, token[:, None]).mean() for token in (batch.answer, batch.alternative))
                return float(wrong - right)

            slope = (loss(2e-3) - loss(-2e-3)) / 4e-3
            score = scores[problem.graph.writer_index[edge[0]], problem.graph.reader_index[edge[1]]]
            assert float(score) == pytest.approx(slope, rel=0.03, abs=2e-3), name


def test_eap_ig_of_one_step_is_eap(make_model, make_problem, task):
    config = {"pairs": 6, "objective": "logit_difference"}
    model = make_model()
    eap = discover(model, task, DiscoverConfig(method="eap", **config))
    one = get_method("eap_ig").settings(steps=1)
    ig = discover(model, task, DiscoverConfig(method="eap_ig", **config), one)
    assert torch.equal(eap.discovery.effects, ig.discovery.effects)
    five = discover(model, task, DiscoverConfig(method="eap_ig", **config))
    assert not torch.allclose(eap.discovery.effects, five.discovery.effects)


def test_eap_ig_adds_up_to_the_whole_effect_where_the_model_is_linear(make_model, make_problem):
    """Completeness of integrated gradients, for the edges into the logits of a model without norm."""
    problem = make_problem(make_model(norm="none"))
    trial = problem.trial("train", 4, 0)
    with frozen(problem.model, torch.float32):
        scores = edge_attributions(problem, trial, steps=3)
        every = problem.mean_damage(trial, torch.zeros_like(problem.everything())[None])
    assert float(scores[:, -1].sum()) == pytest.approx(float(every), rel=1e-3)


def test_acdc_finds_the_planted_circuit(planted):
    config = DiscoverConfig(method="acdc", objective="logit_difference")
    found = discover(planted.model, planted.task, config, get_method("acdc").settings(thresholds=(1e-3, 0.1)))
    for circuit in found.circuits:
        assert set(circuit.edges) == set(PLANTED)


@pytest.mark.parametrize("method", ["eap", "eap_ig", "path_patching"])
def test_rankings_put_the_planted_edges_first(planted, method):
    config = DiscoverConfig(method=method, objective="logit_difference", sparsities=(0.75,))
    (circuit,) = discover(planted.model, planted.task, config).circuits
    assert set(circuit.edges) == set(PLANTED)


def test_path_patching_measures_each_edge_alone(planted):
    config = DiscoverConfig(method="path_patching", objective="logit_difference", intervention="zero")
    found = discover(planted.model, planted.task, config)
    graph, effects = found.circuits[0].graph, found.discovery.effects
    assert effects[~graph.present].abs().max() == 0
    others = graph.present & ~graph.mask(PLANTED)
    assert effects[others].abs().max() < 1e-5
    assert effects[graph.mask(PLANTED)].min() > 1


def test_edge_pruning_finds_the_planted_circuit(planted):
    config = DiscoverConfig(objective="task", sparsities=(0.75,))
    found = discover(planted.model, planted.task, config, get_method("edge_pruning").settings(steps=200, pairs=4))
    assert set(found.circuits[0].trimmed().edges) == set(PLANTED)


def test_information_flow_shares_add_up_to_one_and_follow_size(make_model, task):
    model = make_model()
    with torch.no_grad():
        model.layers[0].mlp.c_proj.weight.mul_(100)
    found = discover(model, task, DiscoverConfig(method="information_flow"))
    graph, shares = found.circuits[0].graph, found.discovery.scores
    assert torch.allclose(shares.sum(dim=0), torch.ones(len(graph.readers)), atol=1e-4)
    assert shares[:, graph.reader_index["a1.h0.q"]].argmax() == graph.writer_index["m0"]


def test_the_cut_leaves_as_many_edges_as_the_masks_add_up_to():
    masks = torch.tensor([1.0, 0.9, 0.6, 0.4, 0.1, 0.0])
    assert cut(masks).tolist() == [True, True, True, False, False, False]
    assert not cut(torch.zeros(5)).any()
    assert cut(torch.full((5,), 0.99)).all()


def test_a_constant_run_has_a_row_for_each_head(make_model):
    run = record(make_model(), torch.zeros(1, 4, dtype=torch.int64))
    assert isinstance(run["a0"], HeadRun) and not isinstance(run["m0"], HeadConstants)


SCRIPT = """
import torch
from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.components import DiscoverConfig, discover, get_method, method_names
from sparsegpt2.circuits.task import TaskBatch
class Tied:
    name = "tied"
    def batch(self, split, n, seed):
        tokens = torch.randint(2, 9, (2 * n, 5), generator=torch.Generator().manual_seed(seed))
        answer = torch.tensor([1, 2]).repeat(n)
        return TaskBatch(tokens=tokens, position=torch.full((2 * n,), 4), answer=answer, alternative=3 - answer)
torch.manual_seed(0)
model = GPT(GPTConfig(vocab_size=9, context=5, d_model=8, d_head=4, n_layer=2, activation_density=1.0))
for name, parameter in model.named_parameters():
    if "c_attn" in name:
        parameter.data.zero_()  # q, k and v of every head then tie
for name in method_names():
    own = {"edge_pruning": {"steps": 4, "pairs": 2}, "acdc": {"thresholds": [1e-3, 1e-1], "pairs": 2}}
    settings = get_method(name).settings(**own.get(name, {}))
    found = discover(model, Tied(), DiscoverConfig(method=name, pairs=4, sparsities=(0.3, 0.6, 0.9)), settings)
    print(name, [circuit.edges for circuit in found.circuits], found.discovery.scores.double().sum().item().hex())
"""


def test_circuits_and_their_order_do_not_depend_on_the_hash_seed():
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "4242")
    }  # fmt: skip
    assert len(said) == 1 and all(name in next(iter(said)) for name in method_names())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "magic"}, "no method 'magic'"),
        ({"intervention": "noise"}, "intervention must be"),
        ({"objective": "beauty"}, "objective must be"),
        ({"sparsities": (1.0,)}, "a sparsity is a share"),
        ({"sparsities": ()}, "at least one share"),
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"method": "eap", "objective": "kl"}, "zero"),
    ],
)
def test_bad_settings_are_one_sentence(make_model, task, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        discover(make_model(), task, DiscoverConfig(**settings))


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("acdc", {"thresholds": ()}), ("acdc", {"thresholds": (0.0,)}), ("acdc", {"pairs": 0}),
        ("eap_ig", {"steps": 0}), ("path_patching", {"pairs": 0}), ("edge_pruning", {"steps": 0}),
        ("edge_pruning", {"lr": 0.0}), ("edge_pruning", {"warmup": 1.5}), ("edge_pruning", {"init_std": -1.0}),
        ("edge_pruning", {"batches": 0}), ("edge_pruning", {"price_lr": 0.0}),
    ],
)  # fmt: skip
def test_bad_settings_of_methods_are_one_sentence(method, values):
    with pytest.raises(UserError, match=next(iter(values))):
        get_method(method).settings(**values)


def test_a_model_with_nan_is_one_sentence(make_model, task):
    model = make_model()
    model.wte.weight[:] = float("nan")
    with pytest.raises(UserError, match="NaN"):
        discover(model, task, DiscoverConfig(method="eap"))
