"""The benchmark end to end on tiny untrained models: rows, circuit files, skipping, resuming, and what it prints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from eval_tasks import get_task, registry
from eval_tasks.base import PosedTask
from eval_tasks.bench import pruner_cells, runner, sharing
from eval_tasks.bench.benchmark import BenchConfig, bench
from eval_tasks.bench.display import print_tables
from eval_tasks.bench.subjects import FINGERPRINT_PAIRS, short_names
from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.circuits import Circuit, PruneConfig, evaluate, node_means, unpruned_loss
from sparsegpt2.results import RESULTS, read_rows
from sparsegpt2.text.tokenizer import Tokenizer

FAST = PruneConfig(steps=2, pairs=2, validation_pairs=4, attribution_pairs=2, dtype="float32")
EASY, EASIER, TOO_HARD = 50.0, 80.0, 1e-6
"""Target losses that any model meets, or none: nothing here was trained."""

TASK = """from eval_tasks.base import PairTask
TASK = PairTask(description="close", answers=({answers}), templates='''
{templates}
''')
"""


@pytest.fixture
def tokenizer():
    return Tokenizer({bytes([byte]): byte for byte in range(256)})


@pytest.fixture
def task(tmp_path):
    """Writes a task file and returns its path: which bracket closes `name(name` or `name[name`."""

    def write(name, answers='")", "]"', templates="$name{{(|[}}$name2{{answer}}"):
        path = tmp_path / f"{name}.py"
        path.write_text(TASK.format(answers=answers, templates=templates))
        return str(path)

    return write


@pytest.fixture
def model(tmp_path, tokenizer):
    """Writes an untrained model as the run folder `name` and returns its path."""

    def write(name, *, seed=0, density=1.0, context=64, means=True, save_tokenizer=True, scale=20):
        torch.manual_seed(seed)
        config = GPTConfig(vocab_size=257, context=context, d_model=16, d_head=8, n_layer=1, activation_density=1.0)
        made = GPT(config)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(scale).mul_(torch.rand_like(parameter) < density)
        if means:
            made.means = node_means(made, torch.randint(0, 257, (8, min(32, context))))
        info = {"held_out_loss": 5.5, "density": density, "tokens": 0}
        save_model(made, tmp_path / name / "best", tokenizer=tokenizer if save_tokenizer else None, info=info)
        return tmp_path / name

    return write


def run(models, out, tasks, prune=FAST, progress=False, **settings):
    settings = {"pruners": ("random",), "target_losses": (EASY,), "test_pairs": 6, **settings}
    return bench(models, out, BenchConfig(tasks=tuple(tasks), **settings), prune, progress=progress)


def without_times(rows):
    return {row.identity: {**asdict(row), "seconds": 0} for row in rows}


def test_every_cell_gets_rows_with_the_right_numbers_and_its_circuit(tmp_path, model, task, tokenizer):
    dense, sparse = model("dense"), model("sparse", density=0.3)
    closing = task("closing")
    rows = run(
        [dense, sparse / "best"],
        tmp_path / "out",
        [closing],
        pruners=("node", "random"),
        seeds=(0, 1),
        target_losses=(EASY, EASIER, TOO_HARD),
    )
    assert len(rows) == len({row.identity for row in rows}) == 2 * 2 * 2 * 3
    assert sorted(map(str, rows)) == sorted(map(str, read_rows(tmp_path / "out")))
    for row in rows:
        loaded = load_model(dense if row.model == "dense" else sparse)
        posed = get_task(closing, tokenizer)
        assert row.loss_full == unpruned_loss(loaded, posed, pairs=6, seed=0)
        assert (row.model, row.task, row.held_out_loss, row.d_model) == (row.model, "closing", 5.5, 16)
        if row.target_loss == TOO_HARD:
            assert (row.status, row.has_task, row.reached, row.edges) == ("lacks the task", False, False, None)
            continue
        circuit = Circuit.load(tmp_path / "out" / row.circuit)
        assert row.loss == evaluate(loaded, posed, circuit, pairs=6, seed=0).loss
        assert (row.edges, row.nodes) == (circuit.edges(loaded), circuit.n_nodes)
        assert row.edges_trimmed == circuit.trimmed(loaded).edges(loaded)
        assert row.counts and row.seconds > 0 and row.curve
        assert circuit.info.seed == row.seed and circuit.info.pruner == row.pruner
        weights = {name: p for name, p in loaded.named_parameters() if p.ndim == 2 or name.endswith("bias")}
        assert row.l0 == sum(int(p.count_nonzero()) for name, p in weights.items() if name != "bigram")
    assert any(row.edges_trimmed < row.edges for row in rows if row.status == "pruned")
    assert {(row.model, row.density) for row in rows} == {("dense", 1.0), ("sparse", 0.3)}


def test_a_circuit_that_misses_the_target_on_validation_pairs_does_not_count(tmp_path, model, task):
    closing = task("closing")
    for seed in range(100):  # until an untrained model has the task on test pairs, but not on validation pairs
        lucky = model(f"lucky{seed}", seed=seed, scale=40)
        (row,) = run([lucky], tmp_path / f"out{seed}", [closing], target_losses=(30,))
        if row.status == "pruned" and not row.reached:
            break
    assert row.has_task and row.loss_full < 30
    assert (row.status, row.reached, row.counts) == ("pruned", False, False)


@pytest.mark.parametrize("pruner", ["node", "random"])
def test_cells_that_share_a_batch_find_what_they_find_alone(tmp_path, model, task, monkeypatch, pruner):
    dense, closing = model("dense"), task("closing")
    asked = [closing, task("squares", '"]", "}"', "$name{{[|{}}$name2{{answer}}"), task("unposed", '"]]", "}"')]
    settings = {"pruners": (pruner,), "seeds": (0, 1), "target_losses": (EASY, TOO_HARD)}
    alone = run([dense], tmp_path / "alone", asked, **settings)
    batches = []
    original = sharing.rank_together

    def counting(model, tasks, *rest):
        batches.append(len(tasks))
        return original(model, tasks, *rest)

    monkeypatch.setattr(sharing, "rank_together", counting)
    shared = run([dense], tmp_path / "shared", asked, together=3, **settings)
    assert batches == [3, 1]  # four cells have their task; two cannot be posed
    for one, other in zip(alone, shared, strict=True):
        assert (one.task, one.seed, one.status, one.edges) == (other.task, other.seed, other.status, other.edges)
        assert one.loss is None or one.loss == pytest.approx(other.loss, rel=1e-4)


def test_pruning_never_sees_the_test_split(tmp_path, model, task, monkeypatch):
    dense, closing = model("dense"), task("closing")
    honest = run([dense], tmp_path / "a", [closing], pruners=("node", "attribution"))
    original = PosedTask.batch

    def swapped(self, split, n, seed):
        batch = original(self, split, n, seed)
        if split == "test" and n != FINGERPRINT_PAIRS:
            return type(batch)(batch.tokens, batch.position, answer=batch.alternative, alternative=batch.answer)
        return batch

    monkeypatch.setattr(PosedTask, "batch", swapped)
    fooled = run([dense], tmp_path / "b", [closing], pruners=("node", "attribution"))
    assert [row.loss_full for row in fooled] != [row.loss_full for row in honest]
    for one, other in zip(honest, fooled, strict=True):
        assert (one.edges, one.nodes_per_site, one.curve) == (other.edges, other.nodes_per_site, other.curve)


def test_a_finished_run_is_not_repeated(tmp_path, model, task, monkeypatch):
    dense, closing = model("dense"), task("closing")
    rows = run([dense], tmp_path / "out", [closing], seeds=(0, 1))
    written = (tmp_path / "out" / RESULTS).read_bytes()
    monkeypatch.setattr(pruner_cells, "rank_nodes", lambda *_: pytest.fail("pruned again"))
    assert run([dense], tmp_path / "out", [closing], seeds=(0, 1)) == rows
    assert (tmp_path / "out" / RESULTS).read_bytes() == written


def test_only_what_changed_is_made_anew(tmp_path, model, task):
    dense, closing = model("dense"), task("closing")
    run([dense], tmp_path / "out", [closing], seeds=(0,))

    def rows():
        return len(read_rows(tmp_path / "out"))

    run([dense], tmp_path / "out", [closing], seeds=(0, 1))
    assert rows() == 2
    run([dense], tmp_path / "out", [closing], prune=PruneConfig(**{**asdict(FAST), "validation_pairs": 5}))
    assert rows() == 3
    run([dense], tmp_path / "out", [closing], test_pairs=7)
    assert rows() == 4
    task("closing", templates="$name{{(|[}}$number{{answer}}")  # the same name, other prompts
    run([dense], tmp_path / "out", [closing])
    assert rows() == 5
    model("dense", seed=1)  # trained anew at the same path
    run([dense], tmp_path / "out", [closing])
    assert rows() == 6


@pytest.mark.parametrize("torn", [False, True])
def test_interrupted_at_any_row_and_resumed_it_gives_what_an_uninterrupted_run_gives(
    tmp_path, model, task, monkeypatch, torn
):
    dense = model("dense")
    tasks = [task("closing"), task("impossible", answers='"))", "]]"')]
    settings = {"tasks": tasks, "target_losses": (EASIER, EASY, TOO_HARD), "seeds": (0, 1)}
    whole = without_times(run([dense], tmp_path / "whole", **settings))
    assert len(whole) == 12
    append = runner.append_row
    for survivors in range(len(whole)):
        left = survivors
        out = tmp_path / f"out{survivors}"

        def fail(folder, row):
            nonlocal left
            if left == 0:
                if torn:
                    with (folder / RESULTS).open("a") as file:
                        file.write('{"model": "dense", "ta')
                raise KeyboardInterrupt
            left -= 1
            append(folder, row)

        monkeypatch.setattr(runner, "append_row", fail)
        with pytest.raises(KeyboardInterrupt):
            run([dense], out, **settings)
        monkeypatch.setattr(runner, "append_row", append)
        assert without_times(run([dense], out, **settings)) == whole
        assert without_times(read_rows(out)) == whole


def test_tasks_that_cannot_be_posed_or_read_get_rows_that_say_why(tmp_path, model, task):
    tasks = [task("closing"), task("impossible", answers='"))", "]]"')]
    rows = run([model("short", context=4), model("long")], tmp_path / "out", tasks)
    status = {(row.model, row.task): (row.status, row.reason) for row in rows}
    assert "is 2 tokens, not one" in status["long", "impossible"][1]
    assert status["long", "closing"] == ("pruned", "")
    assert status["short", "closing"][0] == "unavailable"
    assert "longer than the model's context of 4" in status["short", "closing"][1]
    assert not any(row.counts for row in rows if row.status != "pruned")


def test_nodes_are_ranked_once_for_all_targets_unless_asked(tmp_path, model, task, monkeypatch):
    dense, closing = model("dense"), task("closing")
    aims = []
    rank = pruner_cells.rank_nodes

    def counting(model, task, config, progress):
        aims.append(config.target_loss)
        return rank(model, task, config, progress)

    monkeypatch.setattr(pruner_cells, "rank_nodes", counting)
    targets = (TOO_HARD, EASY, EASIER)
    once = run([dense], tmp_path / "a", [closing], target_losses=targets)
    assert aims == [EASY]  # of those the model can meet, nearest to the settings' 0.15
    each = run([dense], tmp_path / "b", [closing], target_losses=targets, rank_each_target=True)
    assert aims == [EASY, EASIER, EASY]
    assert [row.target_loss for row in once] == [row.target_loss for row in each] == sorted(targets, reverse=True)


def test_the_run_prints_each_cell_and_a_table(tmp_path, model, task, capsys):
    tasks = [task("closing"), task("impossible", answers='"))", "]]"')]
    rows = run([model("one"), model("two", seed=1)], tmp_path / "out", tasks, progress=True)
    text = capsys.readouterr().out
    assert "1/4  one · closing · random, seed 0: " in text
    assert "two · impossible · random, seed 0: unavailable" in text
    assert "random pruner, target loss 50 nats" in text
    for row in rows:
        if row.status == "pruned":
            assert f"{row.edges:,}  {row.loss:.3f} ({row.loss_full:.3f})" in text
            assert f"{max(row.edges, 1):,} over 1 (1 of 2 had)" in text


def test_the_table_marks_and_counts_circuits_that_miss_the_target_on_test_pairs(row, capsys):
    rows = [row(task="with_as", loss=0.28), row(task="var_if", loss=0.14), row(task="for_while", loss=0.14)]
    rows += [row(task="for_while", seed=1, loss=0.2), row(task="else_elif", loss=0.9, reached=False)]
    print_tables(rows)
    text = capsys.readouterr().out
    assert "100  0.280† (0.020)" in text and "100  0.170† (0.020)" in text and "100  0.140 (0.020)" in text
    assert "100  0.900 (0.020), target missed" in text
    assert "† misses its target on test pairs: 2 of 4 counted circuits" in " ".join(text.split())
    assert "100 over 3" in text  # marked circuits enter the mean
    print_tables([row(loss=0.14)])
    assert "†" not in capsys.readouterr().out


def test_only_the_pairs_of_one_task_are_held_at_a_time(tmp_path, model, task, monkeypatch):
    posed, held = [], []

    class Watched(PosedTask):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            posed.append(self)

    append = runner.append_row

    def counting(folder, row):
        held.append([one.name for one in posed if one._pair.cache_info().currsize])
        append(folder, row)

    monkeypatch.setattr(registry, "PosedTask", Watched)
    monkeypatch.setattr(runner, "append_row", counting)
    rows = run([model("dense")], tmp_path / "out", [task("closing"), task("squares")], seeds=(0, 1))
    assert len(posed) == 2 and held == [[row.task] for row in rows]


def test_models_get_the_shortest_names_that_tell_them_apart():
    assert short_names(["runs/dense", "runs/sparse/best"]) == ["dense", "sparse"]
    assert short_names(["a/dense/last", "b/dense"]) == ["a/dense", "b/dense"]
    with pytest.raises(UserError, match="is given twice"):
        short_names(["a/dense", "a/dense"])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pruners": ()}, "at least one pruner and one seed"),
        ({"seeds": ()}, "at least one pruner and one seed"),
        ({"seeds": (1, 1)}, "seeds has an entry twice"),
        ({"target_losses": (0.1, 0)}, "target_losses must be over 0"),
        ({"test_pairs": 0}, "test_pairs must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        BenchConfig(**settings)


def test_what_cannot_be_benchmarked_is_refused_before_anything_is_pruned(tmp_path, model, task, monkeypatch):
    monkeypatch.setattr(pruner_cells, "rank_nodes", lambda *_: pytest.fail("pruned"))
    good, closing, out = model("good"), task("closing"), tmp_path / "out"
    (tmp_path / "sub").mkdir()
    twin = Path(task("sub/closing"))
    refused = [
        ([], [closing], {}, "at least one model"),
        ([good, tmp_path / "absent"], [closing], {}, "absent does not exist"),
        (
            [good, model("blind", means=False)],
            [closing],
            {},
            "blind cannot be benchmarked: the model has no",
        ),
        ([good, model("mute", save_tokenizer=False)], [closing], {}, r"tokenizer\.json does not exist"),
        ([good], ["juggle"], {}, "there is no task 'juggle'"),
        ([good], [closing, str(twin)], {}, "two of the tasks are called 'closing'"),
        ([good], [closing], {"pruners": ("scissors",)}, "there is no pruner 'scissors'"),
    ]
    for models, tasks, settings, sentence in refused:
        with pytest.raises(UserError, match=sentence):
            run(models, out, tasks, **settings)
        assert not out.exists()
    out.mkdir()
    (out / RESULTS).write_text('{"model": "good"}\n')
    with pytest.raises(UserError, match=r"results\.jsonl line 1 lacks the field"):
        run([good], out, [closing])
