"""The command `discover` and `bench --components`, run; and one sentence for each kind of bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from eval_tasks.bench import runner
from eval_tasks.bench.discover import discover_rows
from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.components import ComponentCircuit, DiscoverConfig
from sparsegpt2.model.sites import node_sites
from sparsegpt2.report.components import fewest_edges, write_figures
from sparsegpt2.results import component_rows, current_rows, read_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    torch.manual_seed(0)
    untrained = GPT(GPTConfig(context=128, d_model=16, d_head=8, n_layer=1))
    untrained.means = {site: torch.zeros(width) for site, width in node_sites(untrained.config).items()}
    path = tmp_path_factory.mktemp("components") / "untrained"
    save_model(untrained, path, tokenizer=tokenizer, info={"held_out_loss": 7.6, "l0": 100})
    return path


def test_discover_lists_and_writes_circuits(command, model, tmp_path):
    arguments = ["discover", model, "--task", "for_while", "--method", "eap", "--sparsity", "0.5,0.75"]
    arguments += ["--pairs", 4, "--test_pairs", 8, "--out", tmp_path]
    status, out, err = command(*arguments)
    assert status == 0, err
    assert out.count("of 13 edges") == 2
    rows = component_rows(read_rows(tmp_path))
    assert [row.components["sparsity"] for row in rows] == [0.5, 0.75]
    for row in rows:
        circuit = ComponentCircuit.load(tmp_path / row.circuit)
        assert circuit.n_edges == row.components["edges_kept"] >= row.components["edges"]
        assert circuit.info.task == "for_while" and circuit.info.method == "eap"
    assert current_rows(read_rows(tmp_path)) == []  # no circuits of nodes: the frontier does not see them
    status, again, _ = command(*arguments)
    assert status == 0 and again == out
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2


def test_bench_makes_component_rows_beside_its_own(command, model, tmp_path):
    arguments = ["bench", model, "--tasks", '["for_while"]', "--target_losses", "[20]", "--test_pairs", 8]
    arguments += ["--prune.steps", 2, "--components", "information_flow", "--out", tmp_path]
    status, out, err = command(*arguments)
    assert status == 0, err
    statuses = [json.loads(line)["status"] for line in (tmp_path / "results.jsonl").open()]
    assert statuses.count("pruned") == 1 and statuses.count("discovered") == len(DiscoverConfig().sparsities)
    assert "2/2  untrained · for_while · information_flow, seed 0: " in out and "at sparsity 0.9" in out
    table = out[out.index("Components: untrained, information_flow") :]
    assert "sparsity 0.95" in table and "edges (of 13)" in table
    written = (tmp_path / "results.jsonl").read_bytes()
    status, again, err = command(*arguments)  # all of it is there
    assert (status, err, (tmp_path / "results.jsonl").read_bytes()) == (0, "", written)
    assert "Components: " in again and out.endswith(again)


def test_an_interrupted_method_is_run_again_until_every_circuit_has_its_row(model, tmp_path, monkeypatch):
    config = DiscoverConfig(method="eap", sparsities=(0.25, 0.5, 0.75), pairs=4)

    def rows(out):
        found = list(discover_rows([model], ["for_while"], config, out=out, test_pairs=4))
        return [replace(row, seconds=0, components={**row.components, "megabytes": 0}) for row in found]

    whole = rows(tmp_path / "whole")
    append = runner.append_row
    for survivors in range(3):
        out, left = tmp_path / f"out{survivors}", survivors

        def fail(folder, row):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            append(folder, row)

        monkeypatch.setattr(runner, "append_row", fail)
        with pytest.raises(KeyboardInterrupt):
            rows(out)
        monkeypatch.setattr(runner, "append_row", append)
        assert rows(out) == whole and len(read_rows(out)) == 3
        assert all((out / row.circuit).is_file() for row in whole)


def test_without_a_results_folder_no_file_is_named(model):
    config = DiscoverConfig(method="eap", sparsities=(0.5,), pairs=4)
    (row,) = discover_rows([model], ["for_while"], config, test_pairs=4)
    assert row.status == "discovered" and row.circuit is None


def test_prompts_that_the_model_cannot_read_are_a_row_that_says_so(tmp_path, tokenizer):
    short = GPT(GPTConfig(context=4, d_model=16, d_head=8, n_layer=1))
    short.means = {site: torch.zeros(width) for site, width in node_sites(short.config).items()}
    save_model(short, tmp_path / "short", tokenizer=tokenizer, info={})
    (row,) = discover_rows([tmp_path / "short"], ["for_while"], DiscoverConfig(method="eap"), out=tmp_path / "out")
    assert row.status == "unavailable" and "longer than the model's context of 4" in row.reason
    assert current_rows(read_rows(tmp_path / "out")) == []  # it is no pruner's row


def test_rows_and_figures(model, tmp_path):
    for method in ("eap", "information_flow"):
        config = DiscoverConfig(method=method, sparsities=(0.25, 0.5), pairs=4)
        rows = list(discover_rows([model], ["for_while"], config, out=tmp_path, test_pairs=4))
        assert [row.pruner for row in rows] == [method] * 2
    paths = write_figures(read_rows(tmp_path), tmp_path)
    assert [path.name for path in paths] == ["components-for_while.png", "components-for_while.svg"]
    assert "for_while" in paths[1].read_text() and "information flow" in paths[1].read_text()


def test_fewest_edges_at_a_faithfulness():
    circuits = [{"edges": 9, "kl": 0.01}, {"edges": 5, "kl": 0.3}, {"edges": 7, "kl": 0.04}]
    assert fewest_edges(circuits, 0.05) == 7 and fewest_edges(circuits, 0.001) is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["discover"], "needs a model"),
        (["discover", "MODEL", "--task", "for_while", "--method", "magic"], "no method 'magic'"),
        (["discover", "MODEL", "--task", "juggling"], "no task 'juggling'"),
        (["discover", "MODEL", "--task", "for_while", "--sparsity", "most"], "numbers with commas"),
        (["discover", "MODEL", "--task", "for_while", "--sparsity", "1.5"], "a sparsity is a share"),
        (["discover", "MODEL", "--task", "for_while", "--method", "eap", "--set.steps", "3"], "steps"),
        (["discover", "MODEL", "--task", "for_while", "--method", "eap", "--objective", "kl"], "zero"),
        (["discover", "nowhere", "--task", "for_while"], "does not exist"),
        (["discover", "MODEL", "--task", "for_while", "--test_pairs", "0"], "test_pairs"),
        (["bench", "MODEL", "--out", "OUT", "--components", "magic"], "no method 'magic'"),
    ],
)
def test_bad_arguments_are_one_sentence(command, model, tmp_path, arguments, sentence):
    named = {"MODEL": str(model), "OUT": str(tmp_path / "out")}
    status, _, err = command(*[named.get(argument, argument) for argument in arguments])
    assert status == 2
    assert err.startswith("sparsegpt2: error: ") and sentence in err and err.count("\n") == 1


def test_a_task_that_cannot_be_posed_is_a_row_that_says_so(command, model):
    status, out, err = command("discover", model, "--task", "ioi", "--method", "eap")
    assert status == 0, err
    assert "unavailable: " in out and "single token" in out
