"""What is known of a circuit: typed, and the same keys in a file as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparsegpt2 import UserError
from sparsegpt2.circuits import Circuit, CircuitInfo, PruneConfig, find_circuit
from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.components import ComponentCircuit

FORMATS = Path(__file__).parents[2] / "formats" / "0.1"
FILES = [path for path in sorted(FORMATS.rglob("*.json")) if "circuit" in str(path.relative_to(FORMATS))]
KINDS = {"sparsegpt2 circuit": Circuit, "sparsegpt2 component circuit": ComponentCircuit}


def test_files_of_version_0_1_are_read_and_written_alike(tmp_path: Path) -> None:
    seen = []
    for path in FILES:
        values = json.loads(path.read_text())
        kind: Any = KINDS.get(values["kind"])
        if kind is None:  # a report
            continue
        circuit = kind.load(path)
        assert circuit.info.extra == {}
        circuit.save(tmp_path / "again.json")
        again = json.loads((tmp_path / "again.json").read_text())
        assert json.dumps(again["info"]) == json.dumps(values["info"])  # the order of keys too
        assert again == values
        seen.append(values["kind"])
    assert seen.count("sparsegpt2 circuit") == 7 and "sparsegpt2 component circuit" in seen


def test_a_new_circuit_has_the_keys_of_an_old_one(planted: Any) -> None:
    old = json.loads((FORMATS / "circuit.json").read_text())["info"]
    circuit = find_circuit(planted.model, planted.task, PruneConfig(pruner="random", target_loss=0.6))
    assert list(circuit.noting(model="run").info.to_dict()) == list(old)
    assert list(circuit.info.to_dict()["config"]) == list(old["config"])


def test_a_round_trip_keeps_all_that_is_known(tmp_path: Path, planted: Any) -> None:
    info = CircuitInfo(
        task="x",
        seed=2,
        reached=False,
        curve=[[1, 0, 0.5]],
        calibrated=True,
        calibration=Calibration(scale=1.5, shifts={3: -0.25}),
        extra={"note": "by hand", "later": {"a": [1, None]}},
    )
    Circuit(planted.nodes, info=info).save(tmp_path / "c.json")
    assert Circuit.load(tmp_path / "c.json").info == info
    assert json.loads((tmp_path / "c.json").read_text())["info"]["later"] == {"a": [1, None]}


def test_what_is_not_known_is_none_and_not_written() -> None:
    info = CircuitInfo.from_dict({"task": "x"})
    assert info.pruner is None and info.met and info.to_dict() == {"task": "x"}
    assert CircuitInfo.from_dict({}) == CircuitInfo()


@pytest.mark.parametrize(
    "values",
    [{"seed": "0"}, {"reached": 1}, {"target_loss": True}, {"curve": "none"}, {"calibration": {"scale": 1}}, []],
)
def test_a_wrong_kind_of_value_is_said_of_the_file(values: Any, tmp_path: Path, planted: Any) -> None:
    path = tmp_path / "c.json"
    Circuit(planted.nodes).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "info": values}))
    with pytest.raises(UserError, match=r"circuit file .*c\.json is damaged"):
        Circuit.load(path)
