"""Made-up results: rows that obey the rules of a benchmark, without a model behind them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsegpt2.results.results import Row, append_row

TASKS = ("single_double_quote", "with_open", "bracket_counting", "for_while", "else_elif", "if_equals", "var_swap")

HAS_NOT: dict[str, Any] = {
    "status": "has not",
    "has_task": False,
    "reached": False,
    "loss_full": 0.6,
    "loss": None,
    "nodes": None,
    "nodes_per_site": None,
    "edges": None,
    "edges_trimmed": None,
    "curve": [],
}


def make_row(**changes: Any) -> Row:
    """A pruned row of a small sparse model."""
    row = Row(
        model="sparse",
        model_path="runs/sparse",
        fingerprint="f" * 16,
        task="for_while",
        task_fingerprint="t" * 16,
        pruner="node",
        seed=0,
        target_loss=0.15,
        settings={"steps": 10},
        status="pruned",
        has_task=True,
        reached=True,
        loss=0.14,
        loss_full=0.02,
        nodes=12,
        nodes_per_site={"0.mlp.post_act": 12},
        edges=100,
        edges_trimmed=90,
        curve=[[0, 0, 0.7], [6, 20, 0.4], [12, 100, 0.14], [24, 400, 0.03]],
        held_out_loss=2.2,
        l0=210_000,
        density=0.1,
        d_model=256,
        n_layer=2,
        parameters=2_100_000,
        machine="2 cores",
    )
    return replace(row, **changes)


def fake_rows(
    model: str,
    *,
    d_model: int,
    l0: int,
    density: float,
    loss: float,
    edges: float,
    tasks: int = len(TASKS),
    seeds: int = 1,
    targets: tuple[float, ...] = (0.5, 0.15, 0.05),
) -> list[Row]:
    """A model whose circuits have about `edges` edges at 0.15; it has the first `tasks` tasks of `TASKS`."""
    random = np.random.default_rng(d_model * l0)
    rows = []
    about = {
        "model": model,
        "model_path": f"runs/{model}",
        "fingerprint": hashlib.sha256(model.encode()).hexdigest()[:16],
        "d_model": d_model,
        "l0": l0,
        "density": density,
        "parameters": round(l0 / density),
        "held_out_loss": loss,
    }
    for index, task in enumerate(TASKS):
        hardness = math.exp(0.8 * random.standard_normal())
        for seed in range(seeds):
            scale = edges * hardness * math.exp(0.15 * random.standard_normal())
            curve = [[k, round(scale * (k / 40) ** 1.5), 0.7 * math.exp(-k / 26)] for k in range(0, 200, 4)]
            for target in targets:
                here = {**about, "task": task, "seed": seed, "target_loss": target}
                if index >= tasks:
                    rows.append(make_row(**here, **HAS_NOT))
                    continue
                k = next(entry for entry in curve if entry[2] <= target)
                rows.append(
                    make_row(
                        **here,
                        nodes=int(k[0]),
                        edges=int(k[1]),
                        edges_trimmed=int(k[1] * 0.9),
                        loss=k[2] * 1.02,
                        curve=curve,
                    )
                )
    return rows


def write_rows(folder: Path, rows: list[Row]) -> Path:
    """A results folder with these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        append_row(folder, row)
    return folder


@pytest.fixture
def row() -> Callable[..., Row]:
    return make_row


@pytest.fixture
def fakes() -> Callable[..., list[Row]]:
    return fake_rows


@pytest.fixture
def written() -> Callable[[Path, list[Row]], Path]:
    return write_rows
