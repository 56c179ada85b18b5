"""The formats: where each one's valid file is, how it is built, and how the program reads it."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.material import OLD, SHAPE, without_checksums
from tests.fuzz.mutate import Kind


@dataclass(frozen=True)
class Format:
    """One format of file."""

    kind: Kind
    file: str
    """The file that is mutated, relative to a copy of the material."""
    read: Callable[[Path, Path], None]
    """Read (material, file) as the program does, and use what was read."""
    others: tuple[Callable[[Path], bytes], ...] = ()
    """Further valid contents of the file, such as those that earlier versions wrote."""
    share: float = 1.0
    """Number of its cases, relative to the other formats: below 1 for slow ones."""

    def valid(self, room: Path) -> list[bytes]:
        """The contents of valid files."""
        path = room / self.file
        return [*([path.read_bytes()] if path.is_file() else []), *(make(room) for make in self.others)]


# --- Tokenizers -----------------------------------------------------------------------------------------------------

TEXT = "def f(x):\n    return x + 12  # é\n"


def _use(tokenizer: Any, room: Path) -> None:
    ids = tokenizer.encode(TEXT)
    tokenizer.decode(ids)
    [tokenizer.token(id) for id in ids]
    tokenizer.token(tokenizer.end_of_text)
    repr(tokenizer)
    tokenizer.save(room / "saved")


def tokenizer(room: Path, file: Path) -> None:
    from sparsegpt2.text.tokenizer import Tokenizer

    _use(Tokenizer.load(file), room)


def data_gym(room: Path, file: Path) -> None:
    """Merges and ids are two files; here they are one, with `SPLIT` between."""
    from sparsegpt2.interop import openai
    from sparsegpt2.plain import read_bytes

    merges, _, ids = read_bytes(file).partition(b"SPLIT")
    (room / "bpe" / "vocab.bpe").write_bytes(merges)
    (room / "bpe" / "encoder.json").write_bytes(ids)
    _use(openai.load_tokenizer(room / "bpe"), room)


def gpt2_tokenizer(room: Path, file: Path) -> None:
    from sparsegpt2.interop import gpt2

    _use(gpt2.load_tokenizer(room / "gpt2"), room)


# --- Circuits and reports -------------------------------------------------------------------------------------------


@cache
def _model(room: Path) -> Any:
    from sparsegpt2.model.checkpoint import load_model

    return load_model(room / "run" / "best")


def circuit(room: Path, file: Path) -> None:
    from sparsegpt2.circuits import Circuit

    found = Circuit.load(file)
    repr(found), found._repr_html_()
    found.save(room / "saved.json")
    Circuit.load(room / "saved.json")
    found.edges(_model(room)), found.side_edges(_model(room)), found.trimmed(_model(room))


def graph(room: Path, file: Path) -> None:
    """A circuit that is exported as tables and as GraphML."""
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.interop import graph

    made = graph.to_networkx(Circuit.load(file), _model(room))
    graph.write_csv(made, room / "graph")
    graph.write_graphml(made, room / "graph.xml")


def circuit_view(room: Path, file: Path) -> None:
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.commands.view import gather_circuit
    from sparsegpt2.viewer import ViewConfig, page_data, write_page

    config = ViewConfig(max_nodes=4, windows=0)
    write_page(room / "page.html", page_data([gather_circuit(Circuit.load(file), file, config)]))


def report_view(room: Path, file: Path) -> None:
    """A report beside a circuit, shown on its page."""
    from sparsegpt2.evidence import load_report
    from sparsegpt2.viewer.gather import evidence_beside
    from sparsegpt2.viewer.page import page_html

    beside = evidence_beside(room / "circuits" / "report.json")
    page_html({"title": "t", "circuits": [{"evidence": beside}]})  # type: ignore[typeddict-item]
    found = load_report(file)
    repr(found), found._repr_html_(), found.to_dict()
    found.save()


def components(room: Path, file: Path) -> None:
    from sparsegpt2.components import ComponentCircuit

    found = ComponentCircuit.load(file)
    repr(found), found._repr_html_(), found.trimmed()
    found.save(room / "saved.json")


def notes(room: Path, file: Path) -> None:
    from sparsegpt2.viewer import read_notes
    from sparsegpt2.viewer.page import page_html

    page_html({"title": "t", "notes": read_notes(file, ["else_elif in best"])})  # type: ignore[typeddict-item]


# --- Results --------------------------------------------------------------------------------------------------------


def results(room: Path, file: Path) -> None:
    """Rows, as lists, tables and what a page shows of them."""
    from sparsegpt2.report.frontier import analyse
    from sparsegpt2.report.kurtosis import kurtosis_table, streams
    from sparsegpt2.report.necessity import necessities, necessity_table
    from sparsegpt2.report.pruners import comparisons, pruner_table
    from sparsegpt2.results import component_rows, current_rows, write_table
    from sparsegpt2.results.listing import read_results
    from sparsegpt2.viewer import circuit_files, run_data

    rows = read_results([file])
    repr(rows), rows._repr_html_()
    for row in rows:
        repr(row), row._repr_html_(), row.identity
    found = analyse(current_rows(rows))
    tables = [found.model_table(), found.task_table(), found.sizes_table(), necessity_table(necessities(found.models))]
    tables += [pruner_table(comparisons(rows, found.target_loss, "edges")), kurtosis_table(streams(rows))]
    for table in tables:
        write_table(room / "table.csv", table)
    component_rows(rows)
    circuit_files(file.parent, rows)
    json.dumps(run_data(file.parent, current_rows(rows), {}), allow_nan=False)


def figures(room: Path, file: Path) -> None:
    from sparsegpt2.report.frontier import write_frontier

    write_frontier([file], room / "figures" / "frontier.png")


def frames(room: Path, file: Path) -> None:
    from sparsegpt2.interop.frames import read_results
    from sparsegpt2.results import merge_results

    read_results(file).to_csv()
    merge_results([room / "results"], room)


# --- Runs, models, data ---------------------------------------------------------------------------------------------


def metrics(room: Path, file: Path) -> None:
    from sparsegpt2.report.training import read_metrics, training_curve
    from sparsegpt2.viewer import run_data

    read_metrics(file.parent)
    training_curve(file.parent)
    json.dumps(run_data(file.parent, [], {}), allow_nan=False)


def training_figure(room: Path, file: Path) -> None:
    from sparsegpt2.report.style import to_svg
    from sparsegpt2.report.training import training_figure

    to_svg(training_figure([file.parent]))


def run_config(room: Path, file: Path) -> None:
    from sparsegpt2.text.training_text import training_text
    from train.folder import read_settings

    training_text(room / "run" / "best", 2, SHAPE["context"])
    read_settings(file.parent)


def manifest(room: Path, file: Path) -> None:
    from sparsegpt2.text.data import TokenData

    data = TokenData(file.parent)
    data.fingerprint, data.batch("train", 0, 2, SHAPE["context"], seed=0), data.held_out(2, SHAPE["context"], 1)


def progress(room: Path, file: Path) -> None:
    import torch

    from sparsegpt2 import GPT, GPTConfig
    from sparsegpt2.config import OptimizerConfig
    from sparsegpt2.sparsity.optimizer import make_optimizer
    from train.cost import progress_of
    from train.state import load_state

    if file.parent.name == "last":
        progress_of(file.parent.parent)
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SHAPE))  # type: ignore[arg-type]
    load_state(file.parent, model, make_optimizer(model, OptimizerConfig()))


def model(room: Path, file: Path) -> None:
    """A model, its record, its card, and one step of it."""
    import torch

    from sparsegpt2.model.checkpoint import load_model, model_info
    from sparsegpt2.zoo.export import card

    found = load_model(file.parent)
    found(torch.zeros(1, 2, dtype=torch.int64))
    card(found, model_info(file.parent), "mine")


def gpt2(room: Path, file: Path) -> None:
    from sparsegpt2.interop import gpt2

    gpt2.load(file.parent)


def openai(room: Path, file: Path) -> None:
    from sparsegpt2.interop import openai

    openai.load(file.parent)
    openai.inert_settings(file.parent)


def compiled(room: Path, file: Path) -> None:
    from sparsegpt2.interop import compiled

    found = compiled.read(file.parent)
    found.task().batch("train", 2, 0)


def _zoo(room: Path) -> contextlib.AbstractContextManager[Any]:
    from unittest.mock import patch

    from sparsegpt2.locate import zoo

    return patch.object(zoo, "FOLDER", room / "zoo")


def zoo_index(room: Path, file: Path) -> None:
    from sparsegpt2.zoo.listing import zoo_lines

    with _zoo(room):
        zoo_lines()


def zoo_archive(room: Path, file: Path) -> None:
    from unittest.mock import patch

    from sparsegpt2.locate import zoo
    from sparsegpt2.zoo.get import get

    cache_folder = room / "cache"
    shutil.rmtree(cache_folder, ignore_errors=True)
    with (
        _zoo(room),
        patch.dict("os.environ", {"XDG_CACHE_HOME": str(cache_folder)}),
        patch.object(zoo, "here", lambda _: None),
    ):
        get("mine", str(file.parent))


# --- Settings, tasks, searches --------------------------------------------------------------------------------------


@cache
def _parser(command: str, module: str) -> Any:
    from importlib import import_module

    return getattr(import_module(f"sparsegpt2.commands.{module}"), f"{command}_parser")()


def _settings(command: str, module: str, *arguments: str) -> Callable[[Path, Path], None]:
    def read(room: Path, file: Path) -> None:
        from sparsegpt2.settings import settings_from

        parsed = _parser(command, module).parse([str(file), *arguments])
        if command == "train":
            from train.config import TrainConfig

            config = settings_from(parsed, TrainConfig)
            config.steps, config.evaluation_steps(), config.prepared_data
        if command == "prune":
            from sparsegpt2.circuits import PruneConfig

            settings_from(parsed, PruneConfig).to_dict()
        if command == "bench":
            from eval_tasks.bench.config import BenchConfig

            settings_from(parsed, BenchConfig)

    return read


def _written_settings(kind: str) -> Callable[[Path], bytes]:
    def write(room: Path) -> bytes:
        import yaml

        from eval_tasks.bench.config import BenchConfig
        from sparsegpt2.circuits import PruneConfig
        from sparsegpt2.config import to_dict

        settings = {"prune": PruneConfig().to_dict(), "bench": to_dict(BenchConfig())}[kind]
        return yaml.safe_dump(json.loads(json.dumps(settings))).encode()

    return write


def template(room: Path, file: Path) -> None:
    """The fields of a task, as its Python file gives them to PairTask, in JSON."""
    from eval_tasks.base import PairTask, PosedTask
    from sparsegpt2.errors import UserError
    from sparsegpt2.files import read_json

    fields = read_json(file)
    if not isinstance(fields, dict) or not set(fields) <= set(PairTask.__dataclass_fields__):
        raise UserError("other fields, which Python itself refuses")
    for name in ("answers", "alternatives", "single", "everywhere"):  # JSON has no tuples
        if isinstance(fields.get(name), list):
            fields[name] = tuple(fields[name])
    if not {"description", "answers", "templates"} <= set(fields):
        raise UserError("fields are missing, which Python itself says")
    task = PosedTask("mine", PairTask(**fields), _task_tokenizer(room))
    repr(task), task.batch("train", 2, 0), task.batch("test", 2, 0)


@cache
def _task_tokenizer(room: Path) -> Any:
    from sparsegpt2.text.tokenizer import Tokenizer

    return Tokenizer.load(OLD / "run" / "best")


def _a_task(room: Path) -> bytes:
    templates = "x = {{'|\"}}$name1{{answer}}\n---\n$name2 = {{'|\"}}$name1{{answer}}\n...\ny"
    fields = {"description": "d", "answers": ["'", '"'], "templates": templates, "single": ["$name1"]}
    fields |= {"max_differing": 1, "same_tail": 1, "words": "[own]\nqa qb qc qd qe qf qg qh qi qj", "everywhere": []}
    return json.dumps(fields | {"alternatives": [None, None]}).encode()


def journal(room: Path, file: Path) -> None:
    """As `tune` reads it, before its first trial."""
    from sparsegpt2.circuits.tune import fail_abandoned, open_study, repair_journal, unfailed

    repair_journal(file)
    study = open_study(file, "else_elif node 0")
    fail_abandoned(study)
    [(one.params, one.value, one.state) for one in unfailed(study)]


# --- Text -----------------------------------------------------------------------------------------------------------


def corpus(room: Path, file: Path) -> None:
    from sparsegpt2.text.corpus import CorpusConfig, open_corpus

    found = open_corpus(CorpusConfig(name="files", path=str(file)))
    found.identity()
    for text in found.documents(0):
        text.encode("utf-8", errors="replace")


def evaluate_text(room: Path, file: Path) -> None:
    from sparsegpt2.commands.evaluate import read_text

    read_text(file, _model(room).tokenizer, SHAPE["context"], 2)


def _packed(room: Path) -> bytes:
    return gzip.compress((room / "results" / "results.jsonl").read_bytes(), mtime=0)


def _bpe(room: Path) -> bytes:
    return b"SPLIT".join((room / "bpe" / name).read_bytes() for name in ("vocab.bpe", "encoder.json"))


def _old(name: str) -> Callable[[Path], bytes]:
    return lambda _: (OLD / name).read_bytes()


def _unsealed(name: str) -> Callable[[Path], bytes]:
    return lambda room: without_checksums(room / name)


FORMATS: dict[str, Format] = {
    "tokenizer": Format("json", "run/best/tokenizer.json", tokenizer),
    "data_gym": Format("text", "bpe/both", data_gym, (_bpe,)),
    "gpt2_tokenizer": Format("json", "gpt2/tokenizer.json", gpt2_tokenizer),
    "circuit": Format(
        "json", "circuits/nodes.json", circuit, (lambda room: (room / "circuits/weights.json").read_bytes(),)
    ),
    "circuit_view": Format("json", "circuits/nodes.json", circuit_view),
    "graph": Format("json", "circuits/weights.json", graph),
    "components": Format("json", "circuits/components.json", components),
    "report": Format("json", "circuits/report.json", report_view),
    "notes": Format("json", "notes.json", notes),
    "results": Format("jsonl", "results/results.jsonl", results),
    "results_packed": Format("gz", "packed/results.jsonl.gz", results, (_packed,)),
    "frames": Format("jsonl", "results/results.jsonl", frames, share=0.5),
    "figures": Format("jsonl", "results/results.jsonl", figures, share=0.02),
    "metrics": Format("jsonl", "run/metrics.jsonl", metrics, (_old("run/metrics.jsonl"),)),
    "training_figure": Format("jsonl", "run/metrics.jsonl", training_figure, share=0.05),
    "run_config": Format("yaml", "run/config.yaml", run_config, (_old("run/config.yaml"),), share=0.5),
    "manifest": Format("json", "data/1/manifest.json", manifest, (_unsealed("data/1/manifest.json"),) * 3),
    "progress": Format("json", "run/last/progress.json", progress, (_unsealed("run/last/progress.json"),) * 3),
    "optimizer": Format("safetensors", "plain_last/optimizer.safetensors", progress),
    "model_config": Format("json", "run/best/config.json", model, (_unsealed("run/best/config.json"),) * 3),
    "weights": Format("safetensors", "plain/model.safetensors", model),
    "means": Format("safetensors", "plain/node_means.safetensors", model),
    "compact": Format("safetensors", "plain_compact/model.safetensors", model),
    "gpt2_config": Format("json", "gpt2/config.json", gpt2),
    "gpt2_weights": Format("safetensors", "gpt2/model.safetensors", gpt2),
    "openai_config": Format("json", "openai/beeg_config.json", openai),
    "openai_weights": Format("bytes", "openai/final_model.pt", openai),
    "compiled_json": Format("json", "compiled/model.json", compiled),
    "compiled_weights": Format("bytes", "compiled/weights.npz", compiled),
    "zoo_index": Format("json", "zoo/index.json", zoo_index),
    "zoo_archive": Format("bytes", "zoo/mine.zip", zoo_archive),
    "train_yaml": Format("yaml", "run/config.yaml", _settings("train", "train")),
    "prune_yaml": Format(
        "yaml", "prune.yaml", _settings("prune", "prune", "m", "--task", "t"), (_written_settings("prune"),)
    ),
    "bench_yaml": Format(
        "yaml", "bench.yaml", _settings("bench", "bench", "m", "--out", "o"), (_written_settings("bench"),)
    ),
    "template": Format("json", "task.json", template, (_a_task,)),
    "journal": Format("jsonl", "tuning.journal", journal),
    "corpus_text": Format("text", "corpora/a.txt", corpus),
    "corpus_jsonl": Format("jsonl", "corpora/a.jsonl", corpus),
    "corpus_gz": Format("gz", "corpora/a.jsonl.gz", corpus),
    "corpus_csv": Format("text", "corpora/a.csv", corpus),
    "corpus_parquet": Format("bytes", "corpora/a.parquet", corpus),
    "evaluate_text": Format("text", "corpora/a.txt", evaluate_text),
}
"""Name -> format. The first word of an input's name in tests/fixtures/fuzz is one of these names."""
