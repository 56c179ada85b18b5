"""Valid files of every format, small, made once by the program's own writers."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import torch

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.means import node_means
from sparsegpt2.model.checkpoint import save_model
from sparsegpt2.results import append_row
from sparsegpt2.sparsity.optimizer import make_optimizer
from sparsegpt2.text.config import DataConfig
from sparsegpt2.text.corpus.tinypython import document
from sparsegpt2.text.data import prepare
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.train_tokenizer import train_tokenizer
from tests.fixtures.rows import fake_rows, make_row
from train.config import TrainConfig

CONTEXT, VOCABULARY = 16, 300
SHAPE = {"vocab_size": VOCABULARY, "context": CONTEXT, "n_layer": 1, "d_model": 16, "d_head": 8}
OLD = Path(__file__).parents[1] / "formats" / "0.1"
PROGRAM = Path(__file__).parents[1] / "sparsegpt2" / "components" / "compiled" / "length"


def make(folder: Path) -> None:
    """Write everything into `folder`: model, run, data, circuits, results, imported models, corpora, the zoo."""
    tokenizer = train_tokenizer((document(0, index) for index in range(60)), vocab_size=VOCABULARY)
    model = _model(tokenizer)
    train = TrainConfig(model=model.config, tokens=1000, batch_size=4, data=DataConfig(tokens=2000))
    info = {"step": 5, "tokens": 2560, "density": 0.5, "held_out_loss": 3.2, "seed": 0, "commit": "abc", "l0": 900}
    info |= {"train": json.loads(json.dumps(asdict(train))), "seconds": 3.2, "l0_by_tensor": {"wte.weight": 20}}
    save_model(model, folder / "run" / "best", tokenizer=tokenizer, info=info)
    save_model(model, folder / "compact", tokenizer=tokenizer, info=info, compact=True)
    _run(folder, model, tokenizer, train, info)
    _circuits(folder / "circuits", model)
    _results(folder)
    _zoo(folder / "zoo", folder / "compact")
    _without_checksums(folder)
    _imports(folder, model, tokenizer)
    _corpora(folder / "corpora")
    _journal(folder / "tuning.journal")


def without_checksums(path: Path) -> bytes:
    """A JSON file as earlier versions wrote it, where a change inside is not seen by its checksum."""
    values = json.loads(path.read_bytes())
    return json.dumps({key: value for key, value in values.items() if key not in ("files", "sha256")}).encode()


def _without_checksums(folder: Path) -> None:
    """Copies of models as earlier versions wrote them, whose tensors can be changed without a checksum that differs."""
    for name, copied in (("run/best", "plain"), ("run/last", "plain_last"), ("compact", "plain_compact")):
        shutil.copytree(folder / name, folder / copied)
        for file in ("config.json", "progress.json"):
            path = folder / copied / file
            if path.exists():
                path.write_bytes(without_checksums(path))


def _model(tokenizer: Tokenizer) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SHAPE)).requires_grad_(False)  # type: ignore[arg-type]
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1).mul_(torch.rand_like(parameter) > 0.5)
    model.means = node_means(model, torch.randint(VOCABULARY, (8, CONTEXT)))
    model.tokenizer = tokenizer
    return model


def _run(folder: Path, model: GPT, tokenizer: Tokenizer, train: TrainConfig, info: dict) -> None:
    from train.folder import record_settings
    from train.state import Progress, save_state

    data = DataConfig(tokens=3000, held_out_fraction=0.2, tokenizer=str(folder / "run" / "best"))
    prepare(data, folder / "data" / "1", progress=False)
    record_settings(folder / "run", replace(train, data_folder="../data"), 0)
    optimizer = make_optimizer(model, train.optimizer)
    for parameter in model.parameters():
        parameter.requires_grad_(True).grad = torch.ones_like(parameter)
    optimizer.step()
    model.requires_grad_(False)
    save_state(folder / "run" / "last", model, optimizer, Progress(step=1, best_loss=3.2, seconds=1.5), tokenizer, info)
    steps = [
        {"step": 5 * i, "tokens": 2560 * i, "loss": 5.0 / i, "density": 0.5, "lr": 0.003, "gradient_rms": 0.002}
        | {"tokens_per_second": 1000.0}
        | ({"held_out_loss": 5.1 / i, "l0": 900, "dead_mlp_neurons": 0} if i % 2 == 0 else {})
        for i in range(1, 7)
    ]
    (folder / "run" / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))


def _circuits(folder: Path, model: GPT) -> None:
    from sparsegpt2.components.circuit import ComponentCircuit, ComponentInfo
    from sparsegpt2.components.graph import ComponentGraph
    from sparsegpt2.evidence.estimate import Estimate
    from sparsegpt2.evidence.report import Finding, Report

    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    nodes = {site: torch.rand(len(all_), generator=generator) < 0.4 for site, all_ in every_node(model).items()}
    scores = {site: torch.rand(len(kept), generator=generator) for site, kept in nodes.items()}
    weights = {"blocks.0.mlp.c_fc.weight": model.blocks[0].mlp.c_fc.weight != 0}
    info = CircuitInfo(
        task="else_elif",
        pruner="node",
        seed=0,
        target_loss=0.15,
        validation_loss=0.145,
        validation_loss_full=0.02,
        reached=True,
        k=33,
        trained_k=35,
        search="scan",
        trim="none",
        calibrated=True,
        calibration=Calibration(scale=1.5, shifts={3: 0.5, 7: -0.5}),
        curve=[[0, 0, 0.7], [6, 20, 0.4], [33, 100, 0.14]],
        seconds=2.5,
        config={"steps": 10, "lr": 0.006},
        model="../run/best",
    )
    Circuit(nodes=nodes, scores=scores, info=info).save(folder / "nodes.json")
    Circuit(nodes=nodes, weights=weights, info=info).save(folder / "weights.json")
    graph = ComponentGraph(1, 2)
    kept = graph.matrix(torch.arange(graph.n_edges) % 2 == 0)
    found = ComponentInfo(task="else_elif", method="eap", objective="kl", sparsities=(0.5,), pairs=4, seed=0)
    ComponentCircuit(graph=graph, kept=kept, info=found).save(folder / "components.json")
    number = Estimate(0.5, 0.1, 8, "pairs")
    report = Report(identity="0123456789abcdef", about={"task": "else_elif", "nodes": 33}, path=folder / "report.json")
    report.add("necessity", Finding(verdict="holds", says="it is needed", numbers={"loss": number}, details={"n": 3}))
    report.add("controls", Finding(verdict="unclear", says="0.5 ± 0.1", numbers={"edges": number}))


def _results(folder: Path) -> None:
    shape = {"tasks": 3, "targets": (0.5, 0.15)}
    rows = fake_rows("sparse", d_model=64, l0=900, density=0.1, loss=2.0, edges=40, **shape)
    rows += fake_rows("dense", d_model=32, l0=9000, density=1.0, loss=2.01, edges=400, **shape)
    rows = [replace(row, curve=row.curve[:30:3]) for row in rows]
    rows.append(make_row(pruner="edge", kurtosis=3.5, side_edges={"biases": 3}, circuit="circuits/a.json"))
    report = json.loads((OLD / "circuit.evidence.json").read_bytes())
    rows.append(make_row(pruner="node", seed=1, evidence=report, components=None))
    old = (OLD / "results" / "results.jsonl").read_bytes().split(b"\n")
    (folder / "results").mkdir()
    for row in rows:
        append_row(folder / "results", row)
    with (folder / "results" / "results.jsonl").open("ab") as file:
        file.write(b"".join(line + b"\n" for line in old if line))
    notes = {"else_elif in best": {"0.attn.q.3": {"label": "counts", "note": "opens at `(`"}}}
    values = {"format": 1, "kind": "sparsegpt2 notes", "circuits": notes}
    (folder / "notes.json").write_text(json.dumps(values))


def _imports(folder: Path, model: GPT, tokenizer: Tokenizer) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from sparsegpt2.interop import data_gym, openai

    torch.manual_seed(0)
    shape = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": 16, "n_layer": 1, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None)).save_pretrained(folder / "gpt2")
    tokenizer.save(folder / "gpt2")
    content = json.loads((folder / "gpt2" / "tokenizer.json").read_bytes())
    merges = data_gym.files(tokenizer)["vocab.bpe"].split("\n")[1:-1]  # one for each token, as GPT-2's own file has
    content["model"]["merges"] = merges
    content["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    (folder / "gpt2" / "tokenizer.json").write_text(json.dumps(content))
    openai.export(model, folder / "openai", tokenizer=tokenizer)
    (folder / "bpe").mkdir()
    for name, text in data_gym.files(tokenizer).items():
        (folder / "bpe" / name).write_text(text, encoding="utf-8")
    shutil.copytree(PROGRAM, folder / "compiled")
    about = json.loads((folder / "compiled" / "model.json").read_bytes())
    about["examples"] = about["examples"][:4]
    (folder / "compiled" / "model.json").write_text(json.dumps(about))


def _corpora(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    folder.mkdir()
    texts = [document(0, index)[:300] for index in range(8)]
    (folder / "a.txt").write_text("\n\n".join(texts), encoding="utf-8")
    lines = "".join(json.dumps({"text": text, "n": i}) + "\n" for i, text in enumerate(texts))
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    (folder / "a.csv").write_text("n,text\n" + "".join(f'{i},"def f{i}(): pass"\n' for i in range(8)))
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "n": list(range(8))}), folder / "a.parquet")


def _zoo(folder: Path, model: Path) -> None:
    from sparsegpt2.checksum import digest

    shutil.copytree(model, folder / "mine")
    files = {
        file.name: {"bytes": file.stat().st_size, "sha256": digest(file)}
        for file in sorted((folder / "mine").iterdir())
    }
    facts = {"n_layer": 1, "d_model": 16, "context": 16, "l0": 900, "held_out_loss": 3.2}
    facts |= {"had": 3, "tasks": 20, "counted": 3, "edges": 41.5}
    (folder / "index.json").write_text(json.dumps({"models": {"mine": {"files": files, "facts": facts}}}))
    shutil.make_archive(str(folder / "mine"), "zip", folder, "mine")


def _journal(path: Path) -> None:
    from sparsegpt2.circuits import PruneConfig
    from sparsegpt2.circuits.tune import next_trial, open_study

    study = open_study(path, "else_elif node 0")
    for index in range(2):
        study.tell(next_trial(study, PruneConfig(), index), 100.0 - index)
