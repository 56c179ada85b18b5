"""The whole report: its verdict and summary, its file, and how interrupted work goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits import Circuit, CircuitInfo, PruneConfig
from sparsegpt2.evidence import (
    Estimate,
    EvidenceConfig,
    Finding,
    Report,
    check_names,
    collect_evidence,
    get_check,
    load_report,
    report_path,
)
from sparsegpt2.evidence import collect as module
from sparsegpt2.evidence.text import STAND_IN, prompt_text

TINY = EvidenceConfig(
    pairs=8,
    draws=2,
    minimality_pairs=2,
    adversary_steps=2,
    adversary_pairs=2,
    binarisation_steps=2,
    seeds=2,
    text_rows=4,
)
PRUNE = PruneConfig(pruner="random", validation_pairs=4, target_loss=0.69)
CHEAP = ["agreement", "attention", "completeness", "generalisation", "minimality", "necessity", "norms", "stochastic"]


@pytest.fixture
def circuit(planted: Any) -> Circuit:
    return Circuit(planted.nodes, info=CircuitInfo(config=PRUNE.to_dict(), target_loss=0.15, seed=0))


def finding(verdict: Any) -> Finding:
    return Finding(verdict=verdict, says="so", numbers={"a": Estimate(1.0, 0.5, 3, "pairs")}, details={"b": [1]})


def report(**verdicts: str) -> Report:
    return Report(identity="x", about={}, findings={name: finding(verdict) for name, verdict in verdicts.items()})


def test_the_controls_decide_by_themselves() -> None:
    assert report(controls="fails", necessity="holds").verdict == "not believable"
    assert report(controls="holds", necessity="fails").verdict == "doubtful"
    assert report(controls="holds", necessity="unclear").verdict == "doubtful"
    assert report(controls="holds", necessity="holds", norms="not run").verdict == "believable"
    assert report(necessity="holds").verdict == report(controls="not run").verdict == "undecided"
    assert report(necessity="fails").verdict == "doubtful"


def test_the_summary_is_one_line_with_every_check() -> None:
    said = report(controls="fails", seeds="holds", norms="not run", necessity="holds", agreement="unclear").summary()
    assert said == "not believable; holds: seeds, necessity; fails: controls; unclear: agreement; not run: norms"


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    written = replace(report(controls="holds"), path=tmp_path / "c.evidence.json", memo={"seeds/1": {"edges": 3}})
    written.save()
    read = load_report(tmp_path / "c.evidence.json")
    assert read == written
    assert report_path("a/c.json") == Path("a/c.evidence.json")


@pytest.mark.parametrize("text", ["", "[1]", '{"kind": "other"}', '{"kind": "sparsegpt2 evidence", "format": 1}'])
def test_files_that_are_no_reports_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=r"x\.json"):
        load_report(tmp_path / "x.json")


def test_checks_are_found_by_name() -> None:
    assert check_names() == [*CHEAP, "sufficiency", "adversarial", "binarisation", "controls", "seeds"]
    assert all(get_check(name).asks.endswith("?") for name in check_names())
    with pytest.raises(UserError, match="there is no check 'guess'; there are adversarial, agreement"):
        get_check("guess")


def test_every_check_runs_and_the_report_is_json(planted: Any, circuit: Circuit, tmp_path: Path) -> None:
    seen: list[str] = []
    found = collect_evidence(
        planted.model,
        planted.task,
        circuit,
        TINY,
        path=tmp_path / "c.json",
        progress=lambda _done, _total, what: seen.append(what),
    )
    assert list(found.findings) == check_names() and set(check_names()) <= set(seen)
    assert found.about["text"] == STAND_IN and found.about["target_loss"] == 0.15 and found.about["edges"] == 6
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["summary"] == found.summary()
    assert load_report(tmp_path / "c.json").to_dict() == json.loads(json.dumps(found.to_dict()))
    assert not found.memo
    for one in found.findings.values():
        assert one.verdict == "not run" or all(number.n >= 1 for number in one.numbers.values())


def test_expensive_checks_can_be_left_out_and_checks_chosen(planted: Any, circuit: Circuit) -> None:
    cheap = collect_evidence(planted.model, planted.task, circuit, replace(TINY, expensive=False))
    assert list(cheap.findings) == [*CHEAP, "sufficiency"] and cheap.verdict in ("undecided", "doubtful")
    one = collect_evidence(planted.model, planted.task, circuit, replace(TINY, checks=("necessity",)))
    assert list(one.findings) == ["necessity"]
    assert one.findings["necessity"].numbers == cheap.findings["necessity"].numbers  # whatever ran before
    with pytest.raises(UserError, match="no check 'nothing'"):
        collect_evidence(planted.model, planted.task, circuit, replace(TINY, checks=("nothing",)))


def test_interrupted_work_goes_on(
    planted: Any, circuit: Circuit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the middle of the controls, only what is missing is done, and the numbers are the same."""
    config = replace(TINY, checks=("necessity", "controls", "seeds"), seeds=3)
    whole = collect_evidence(planted.model, planted.task, circuit, config)

    def interrupting(_done: int, _total: int, what: str) -> None:
        if "pruning 2 of 3" in what or (what.startswith("scoring") and len(seen) > 3):
            raise KeyboardInterrupt
        seen.append(what)

    seen: list[str] = []
    path = tmp_path / "c.evidence.json"
    with pytest.raises(KeyboardInterrupt):
        collect_evidence(planted.model, planted.task, circuit, config, path=path, progress=interrupting)
    half = load_report(path)
    assert list(half.findings) == ["necessity"] and len(half.memo) == 1
    ran: list[str] = []
    original = module.get_check
    monkeypatch.setattr(module, "get_check", lambda name: ran.append(name) or original(name))
    again = collect_evidence(planted.model, planted.task, circuit, config, path=path)
    strip = {name: replace(one, seconds=0) for name, one in again.findings.items()}
    assert strip == {name: replace(one, seconds=0) for name, one in whole.findings.items()}
    assert not load_report(path).memo


def test_a_finished_report_is_kept_and_another_cases_is_not(planted: Any, circuit: Circuit, tmp_path: Path) -> None:
    config, path = replace(TINY, checks=("necessity",)), tmp_path / "c.json"
    first = collect_evidence(planted.model, planted.task, circuit, config, path=path)
    second = collect_evidence(planted.model, planted.task, circuit, config, path=path)
    assert first.findings["necessity"].seconds == second.findings["necessity"].seconds  # not run again
    more = collect_evidence(planted.model, planted.task, circuit, replace(config, checks=("agreement",)), path=path)
    assert set(more.findings) == {"agreement", "necessity"}
    planted.model.unembed.weight.mul_(2)
    other = collect_evidence(planted.model, planted.task, circuit, config, path=path)
    assert other.identity != first.identity and list(other.findings) == ["necessity"]


def test_a_circuit_of_another_model_is_refused(random_model: Any, planted: Any, circuit: Circuit) -> None:
    with pytest.raises(UserError, match="found in another model"):
        collect_evidence(random_model, planted.task, circuit, TINY)


def test_the_stand_in_for_text_is_prompts_with_answers(planted: Any) -> None:
    text = prompt_text(planted.model, planted.task, 5)
    assert text.shape == (5, 8)
    batch = planted.task.batch("train", 64, 0)
    first = [*batch.tokens[0, : int(batch.position[0]) + 1].tolist(), int(batch.answer[0])]
    assert text.flatten()[: len(first)].tolist() == first
    assert torch.equal(text, prompt_text(planted.model, planted.task, 5))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"rates": (0.5, 1.0)}, "rates must be shares between 0 and 1"),
        ({"knockouts": ()}, "knockouts needs at least one"),
        ({"slack": 0.5}, "slack must be at least 1"),
        ({"minimality_gain": 0.0}, "minimality_gain must be above 0"),
        ({"agreement": 1.5}, "agreement must be above 0 and at most 1"),
        ({"binarisation_lrs": (0.1, -1.0)}, "binarisation_lrs must be above 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        EvidenceConfig(**settings)
