"""Results as a data frame: every row and field."""

from __future__ import annotations

import json

import pytest

from sparsegpt2 import UserError
from sparsegpt2.interop.frames import read_results
from sparsegpt2.results import Row, append_row, read_rows

COMMON = {"model_path": "m", "fingerprint": "f", "task_fingerprint": "t", "pruner": "node", "seed": 0, "l0": 9}
COMMON |= {"target_loss": 0.15, "settings": {"steps": 3}, "held_out_loss": None, "density": 0.1, "d_model": 8}
COMMON |= {"n_layer": 1, "parameters": 90}


def test_rows_are_rows_and_fields_columns(tmp_path):
    for folder, model in ((tmp_path / "a", "one"), (tmp_path / "b", "two")):
        folder.mkdir()
        pruned = {"status": "pruned", "loss": 0.1, "loss_full": 0.05, "nodes": 5, "edges": 7, "edges_trimmed": 6}
        append_row(folder, Row(model=model, task="for_while", **COMMON, **pruned))
        append_row(folder, Row(model=model, task="if_equals", **COMMON, status="lacks the task"))
    frame = read_results(tmp_path / "a", tmp_path / "b")
    assert len(frame) == 4 and list(frame["folder"].unique()) == [str(tmp_path / "a"), str(tmp_path / "b")]
    for (_, line), row in zip(frame.iterrows(), [*read_rows(tmp_path / "a"), *read_rows(tmp_path / "b")], strict=True):
        assert line["model"] == row.model and line["task"] == row.task and line["settings"] == row.settings
    assert frame[frame.status == "pruned"].groupby("model").edges.mean().to_dict() == {"one": 7, "two": 7}


def test_a_torn_line_is_one_sentence(tmp_path):
    (tmp_path / "results.jsonl").write_text(json.dumps({"model": "x"})[:-3])
    with pytest.raises(UserError, match="line 1 is not valid JSON"):
        read_results(tmp_path)
