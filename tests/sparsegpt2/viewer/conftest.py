"""A circuit planted by hand in a model small enough to read, and a browser to look at it with."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits import Circuit, CircuitInfo, TaskBatch
from sparsegpt2.config import NODE_PLACES
from sparsegpt2.model.sites import node_sites
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer import ViewConfig, Viewed, circuit_data, page_data

HOSTILE = "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>"
"""A token whose text is markup; id 256."""

EDGES = {
    ("0.attn.act_in.1", "0.attn.q.0"): 2.0,
    ("0.attn.act_in.2", "0.attn.k.0"): -1.5,
    ("0.attn.act_in.3", "0.attn.v.0"): 1.0,
    ("0.attn.v.0", "0.attn.resid_delta.4"): 0.5,
    ("0.mlp.act_in.4", "0.mlp.post_act.5"): 3.0,
    ("0.mlp.post_act.5", "0.mlp.resid_delta.6"): -2.0,
    ("0.mlp.act_in.0", "0.mlp.post_act.7"): 0.1,
    ("0.mlp.post_act.7", "0.mlp.resid_delta.7"): 0.2,
}
"""Attention feeds a neuron through residual channel 4; neuron 7 has nothing to do with either."""

NODES = sorted({node for edge in EDGES for node in edge})


@dataclass(frozen=True)
class Planted:
    """What tests expect to see."""

    hostile: str
    edges: dict[tuple[str, str], float]
    nodes: list[str]


@pytest.fixture(scope="session")
def planted() -> Planted:
    return Planted(HOSTILE, EDGES, NODES)


@dataclass(frozen=True)
class PlantedTask:
    """After token 1 comes 2, after token 3 comes 4; the prompt holds the hostile token too."""

    name: str = "planted"

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        rows = torch.tensor([[257, 256, 1], [257, 256, 3]]).repeat(n, 1)
        answers = torch.tensor([2, 4]).repeat(n)
        return TaskBatch(
            tokens=rows,
            position=torch.full((2 * n,), 2),
            answer=answers,
            alternative=torch.tensor([4, 2]).repeat(n),
        )


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    ranks = {bytes([byte]): byte for byte in range(256)}
    return Tokenizer({**ranks, HOSTILE.encode(): 256})


@pytest.fixture(scope="session")
def planted_model() -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=258, context=16, d_model=8, n_layer=1, d_head=4, d_mlp=8, activation_density=1))
    attention, mlp = model.layers[0].attn, model.layers[0].mlp
    with torch.no_grad():
        for linear in (attention.c_attn, attention.c_proj, mlp.c_fc, mlp.c_proj):
            linear.weight.zero_()
        attention.c_attn.weight[0, 1], attention.c_attn.weight[8, 2], attention.c_attn.weight[16, 3] = 2.0, -1.5, 1.0
        attention.c_proj.weight[4, 0] = 0.5
        mlp.c_fc.weight[5, 4], mlp.c_fc.weight[7, 0] = 3.0, 0.1
        mlp.c_proj.weight[6, 5], mlp.c_proj.weight[7, 7] = -2.0, 0.2
        model.wte.weight[256] = 5.0  # the hostile token excites every channel most
    model.means = {site: torch.zeros(width) for site, width in node_sites(model.config).items()}
    return model


@pytest.fixture(scope="session")
def planted_circuit(planted_model) -> Circuit:
    nodes = {
        site: torch.tensor([f"{site}.{channel}" in NODES for channel in range(width)])
        for site, width in node_sites(planted_model.config).items()
    }
    curve = [[4, 2, 0.9], [13, 8, 0.1], [72, 8, 0.05]]
    return Circuit(nodes=nodes, info=CircuitInfo(task="planted", curve=curve, validation_loss=0.1, target_loss=0.15))


@pytest.fixture(scope="session")
def subject(planted_model, byte_tokenizer) -> Viewed:
    generator = torch.Generator().manual_seed(0)
    corpus = torch.randint(257, (20, 16), generator=generator)
    corpus[3, 4] = 256
    return Viewed(
        model=planted_model,
        name="planted-model",
        tokenizer=byte_tokenizer,
        task=PlantedTask(),
        corpus=corpus,
        corpus_name="random bytes",
    )


@pytest.fixture(scope="session")
def planted_data(planted_circuit, subject):
    config = ViewConfig(pairs=2, effect_pairs=2, score_pairs=2, examples=2, batch_size=3)
    return circuit_data(planted_circuit, subject, config, evidence={"c.evidence.json": {"verdict": HOSTILE}})


@pytest.fixture
def large_data(planted_data):
    """A made-up circuit of 500 nodes and 1500 edges over two layers."""
    random.seed(0)
    nodes, edges = 500, 1500
    template = planted_data["nodes"][0]
    data = {**planted_data, "name": "large", "config": {**planted_data["config"], "n_layer": 2, "d_model": 160}}
    sites = [f"{layer}.{place}" for layer in range(2) for place in NODE_PLACES]
    placed = sorted((i % len(sites), i // len(sites)) for i in range(nodes))
    data["nodes"] = [
        {
            **template,
            "id": f"{sites[site]}.{channel}",
            "site": sites[site],
            "channel": channel,
            "head": channel // 16 if sites[site].endswith((".q", ".k", ".v")) else None,
            "effect": random.random() ** 6,
        }
        for site, channel in placed
    ]
    by_site = {site: [i for i, node in enumerate(data["nodes"]) if node["site"] == site] for site in sites}
    joins = [("attn.act_in", "attn.q"), ("attn.act_in", "attn.v"), ("mlp.act_in", "mlp.post_act")]
    joins += [("attn.v", "attn.resid_delta"), ("mlp.post_act", "mlp.resid_delta")]
    chosen = [(random.randrange(2), *random.choice(joins)) for _ in range(edges)]
    data["edges"] = {
        "source": [random.choice(by_site[f"{layer}.{source}"]) for layer, source, _ in chosen],
        "target": [random.choice(by_site[f"{layer}.{target}"]) for layer, _, target in chosen],
        "weight": sorted((random.gauss(0, 1) for _ in chosen), key=lambda weight: -abs(weight)),
    }
    lanes: dict[int, list[int]] = {}
    for i, node in enumerate(data["nodes"]):
        if node["site"].endswith(("act_in", "resid_delta")):
            lanes.setdefault(node["channel"], []).append(i)
    data["lanes"] = [
        {"channel": channel, "embedded": True, "unembedded": True, "nodes": of} for channel, of in lanes.items()
    ]
    data["hidden"] = {"nodes": 117, "edges": 2000, "rule": "shown are the 500 nodes ranked highest by the pruner"}
    return data


@pytest.fixture
def run_page(planted_data):
    """A page of a made-up run of two models; one circuit of the second is in it."""
    steps = [[step, 3.0 - step / 100] for step in range(0, 100, 10)]
    cell = {"task": "planted", "status": "pruned", "counts": True, "loss": 0.1, "loss_full": 0.05, "files": ["c.json"]}
    names = ("dense", "sparse <i>")
    models = [
        {"name": name, "dense": not i, "d_model": 8, "l0": 100, "held_out_loss": 1.7 + i / 10, "had": 1}
        | {"shared_edges": 200.0 - 150 * i, "cells": [{**cell, "edges": 200.0 - 150 * i, "circuits": [0] * i}]}
        for i, name in enumerate(names)
    ]
    measures = ("loss", "held_out_loss", "density", "l0", "dead_mlp_neurons")
    return page_data(
        [planted_data],
        {
            "name": "quick",
            "training": {name: dict.fromkeys(measures, steps) for name in names},
            "models": models,
            "shared": ["planted"],
            "pruner": "node",
            "target": 0.15,
            "curves": [{"name": name, "line": [[10, 0.5], [200, 0.1]], "marks": [[100, 0.15]]} for name in names],
            "not_shown": "",
        },
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Debian's chromium, headless; where it is missing and can't be installed, the tests are skipped, saying why."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    missing = install_chromium()
    if missing:
        pytest.skip(missing)
    options = webdriver.ChromeOptions()
    folder = tmp_path_factory.mktemp("chromium")
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1400,900",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


def install_chromium() -> str:
    """Why there is no chromium with its driver; empty when there is. Root may install both from Debian, once."""
    wanted = ("chromium", "chromedriver")
    if all(map(shutil.which, wanted)):
        return ""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "chromium and chromedriver are missing, and only root may install them with apt-get"
    with open(Path(tempfile.gettempdir()) / "sparsegpt2-chromium.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side; the second finds it installed
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "chromium-driver"]
        for command in [] if all(map(shutil.which, wanted)) else [["apt-get", "update", "-qq"], install]:
            done = subprocess.run(
                command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True
            )
            if done.returncode:
                return f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}"
    return ""
