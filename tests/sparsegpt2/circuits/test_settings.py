"""Pruning settings: names with options, each pruner's own, and the flat record that finished rows are found by."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import sparsegpt2.circuits.pruners as pruners
from sparsegpt2 import UserError
from sparsegpt2.circuits import PruneConfig, rank_nodes
from sparsegpt2.circuits.aim import PrunerName
from sparsegpt2.circuits.pruners import attribution, edge, node, random, stochastic
from sparsegpt2.config import from_dict, to_dict
from sparsegpt2.results import read_rows

FORMATS = Path(__file__).parents[2] / "formats" / "0.1"


@pytest.mark.parametrize(
    ("text", "base", "options"),
    [
        ("node", "node", ()),
        ("node+tied+trim", "node", ("tied", "trim")),
        ("edge+trim_nodes", "edge", ("trim_nodes",)),
        ("a+b/mine.py+trim", "a+b/mine.py", ("trim",)),
        ("package.module:rank+tied", "package.module:rank", ("tied",)),
    ],
)
def test_a_name_is_taken_apart_and_put_together(text: str, base: str, options: tuple[str, ...]) -> None:
    name = PrunerName.parse(text)
    assert (name.base, name.options, str(name)) == (base, options, text)
    assert PruneConfig(pruner=text).name == name


@pytest.mark.parametrize("text", ["node+magic", "node+magic+trim", "node++trim", "node+trim+"])
def test_an_unknown_option_is_said(text: str) -> None:
    with pytest.raises(UserError, match=r"has no option '(magic)?'; the options are tied, trim, trim_nodes"):
        PrunerName.parse(text)


def test_options_set_what_they_stand_for() -> None:
    config = PruneConfig(pruner="node+tied+trim")
    assert config.tied_qk and config.trim == "edges"
    assert PruneConfig(pruner="node+trim_nodes").trim == "nodes"


def test_every_pruner_owns_its_settings() -> None:
    own = {
        module.__name__.split(".")[-1]: {one.name for one in fields(module.Settings)}
        for module in (attribution, edge, node, random, stochastic)
    }
    assert "edge_lr" in own["edge"] and not any("edge_lr" in own[name] for name in own if name != "edge")
    assert "ablation_rate" in own["stochastic"] and "ablation_rate" not in own["node"] | own["edge"]
    assert own["attribution"] == {"pruner", "target_loss", "seed", "attribution_pairs"}
    assert own["random"] == {"pruner", "target_loss", "seed"}
    assert all(isinstance(PruneConfig(), module.Settings) for module in (attribution, edge, node, random, stochastic))


def test_the_record_of_a_row_is_what_it_was() -> None:
    """Rows and circuits of version 0.1 hold the same flat settings, in the same order, as would be written now."""
    rows = [row for row in read_rows(FORMATS / "results") if row.status == "pruned"]
    assert {row.pruner for row in rows} == {"node", "edge+trim", "node+tied+trim"}
    for row in rows:
        stored = dict(row.settings)
        stored["target_loss"], _ = stored.pop("ranking_target"), stored.pop("test_pairs")
        config = PruneConfig(pruner=row.pruner, seed=row.seed, **stored)
        now = {"pruner": row.pruner, "target_loss": stored.pop("target_loss"), "seed": row.seed, **stored}
        assert json.dumps(to_dict(config)) == json.dumps(config.to_dict()) == json.dumps(now)
    for path in (FORMATS / "results" / "circuits").rglob("*.json"):
        values = json.loads(path.read_text())["info"].get("config")
        if values is not None:
            assert json.dumps(to_dict(from_dict(PruneConfig, values, "file"))) == json.dumps(values)
    assert "own" not in to_dict(PruneConfig()) and "own" not in repr(PruneConfig())


PRUNER = '''
"""A pruner from outside, with a setting of its own."""
from dataclasses import dataclass
import torch
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.config import require
from sparsegpt2.model.sites import node_sites

@dataclass(frozen=True, kw_only=True)
class Settings:
    first: int = 0
    def __post_init__(self):
        require(self.first >= 0, f"first must be 0 or more, got {self.first}")

def rank(model, task, config, progress=None):
    first = config.own_as(Settings).first
    return Ranking({s: (torch.arange(w) == first).float() for s, w in node_sites(model.config).items()})
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside.py").write_text(PRUNER)
    monkeypatch.setattr(pruners, "__path__", [*pruners.__path__, str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "sparsegpt2.circuits.pruners.outside", raising=False)


def test_a_pruner_from_outside_has_settings(planted: Any, outside: None) -> None:
    config = PruneConfig(pruner="outside", own={"first": 3})
    assert rank_nodes(planted.model, planted.task, config).nodes(1)["0.attn.act_in"].tolist()[3]
    assert to_dict(config)["own"] == {"first": 3}
    assert from_dict(PruneConfig, to_dict(config), "file") == config and hash(config)
    assert config != PruneConfig(pruner="outside", own={"first": 4})


@pytest.mark.parametrize(
    ("pruner", "own", "sentence"),
    [
        ("outside", {"frist": 3}, "own, the settings of pruner outside, has the unknown key 'frist'"),
        ("outside", {"first": -1}, "first must be 0 or more"),
        ("node", {"first": 3}, "pruner node takes no settings in `own`, but `own` has first"),
    ],
)
def test_wrong_settings_of_ones_own_are_said(
    planted: Any, outside: None, pruner: str, own: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        rank_nodes(planted.model, planted.task, PruneConfig(pruner=pruner, own=own))
