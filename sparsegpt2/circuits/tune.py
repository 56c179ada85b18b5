"""Tune a pruner for one model and task: Optuna searches its settings for the fewest edges at the target loss.

The search uses only the task's train and validation pairs; the caller scores the circuit of the best settings on test
pairs. A study is Optuna's record of a search. It is kept in a journal file, so that an interrupted search can be
resumed; only one process at a time may write that file. The settings of each trial are drawn with a seed of their own,
so an interrupted search gives the same result as one without interruptions.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparsegpt2.circuits import LossCurve, PruneConfig, circuit_at, rank_nodes
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.edges import count_edges
from sparsegpt2.circuits.task import Task
from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.files import inside, make_folder, replacing
from sparsegpt2.lock import locked_file
from sparsegpt2.model.gpt import GPT
from sparsegpt2.plain import read_bytes, shown
from sparsegpt2.progress import Progress

SPACE: dict[str, tuple[float, float, bool]] = {
    "lr": (1e-3, 3e-2, True),
    "k_coef": (1e-5, 3e-3, True),
    "pressure": (0.1, 10.0, True),
    "init_noise_bias": (0.02, 0.4, True),
    "headroom": (3e-3, 1.0, True),
    "init_noise_scale": (1e-3, 1e-1, True),
    "weight_decay": (1e-4, 1e-1, True),
    "one_minus_beta2": (5e-3, 2e-1, True),
    "warmup": (0.0, 0.2, False),
    "temperature": (0.3, 3.0, True),
    "controller_margin": (0.7, 1.0, False),
}
"""The settings that are searched: name -> (lowest value, highest value, whether the scale is logarithmic)."""

CENTRES = {
    "lr": 3e-3,
    "k_coef": 1e-4,
    "init_noise_bias": 1e-1,
    "headroom": 0.9,
    "init_noise_scale": 1e-2,
    "weight_decay": 1e-3,
    "one_minus_beta2": 5e-2,
    "warmup": 0.05,
    "temperature": 1.0,
}
"""The centres of the paper's search (appendix A.5). The first trial uses the settings that are given to `tune`. The
second uses these values instead, and the given ones where this dict has none."""

TUNABLE = ("node", "edge", "stochastic")
"""The pruners that can be tuned. The others have no settings that are worth a search."""

RANDOM_TRIALS = 5
"""Number of trials after which the sampler begins to learn from earlier ones, and trials may be stopped early."""
REPORT_EVERY = 10
"""Number of training steps between two decisions whether to stop a trial early."""
SEED_STRIDE = 100_003
"""Difference between the sampler's first seeds for two consecutive pruning seeds. No search has so many trials, so
searches with different pruning seeds share no seed of the sampler."""


@dataclass(frozen=True)
class Tuned:
    """The result of a search for the best settings."""

    config: PruneConfig
    """The best settings."""
    edges: float
    """Number of edges of the circuit found with the best settings, at the target loss on validation pairs; NaN if the
    pruner has no settings to search."""
    trials: list[dict[str, Any]]
    """One entry for each finished trial, in order: its number, counted from 0 over the finished trials, its settings,
    its number of edges (None if it was stopped early) and its state."""


def tune(
    model: GPT,
    task: Task,
    config: PruneConfig,
    trials: int,
    storage: str | Path,
    *,
    name: str = "",
    progress: Progress | None = None,
) -> Tuned:
    """Search the settings of `config.pruner` until the study in `storage` has `trials` finished trials.

    storage: path of the journal file. name: the name of the study. Searches that differ in model, task or fixed
    settings must have different names. If the pruner has no settings to search, `config` is returned as it is.
    `UserError` if Optuna is not installed, for fewer than one trial, for a journal that another process is writing, and
    for a damaged journal. Damage that is only what a killed process left is repaired (`repair_journal`).
    """
    require(trials >= 1, f"tuning needs at least 1 trial, got {trials}")
    if config.name.base not in TUNABLE:
        return Tuned(config, math.nan, [])
    journal = Path(storage)
    with locked_file(journal.with_name(f".{journal.name}.lock"), f"tuning journal {journal}"):
        repair_journal(journal)
        study = open_study(journal, name or f"{task.name} {config.pruner} {config.seed}")
        return _search(study, model, task, config, trials, progress)


def _search(study: Any, model: GPT, task: Task, config: PruneConfig, trials: int, progress: Progress | None) -> Tuned:
    fail_abandoned(study)
    while (index := len(unfailed(study))) < trials:
        trial = next_trial(study, config, index)
        try:
            value = edges_with(model, task, settings_of(config, trial.params), trial, progress)
        except BaseException as error:
            given_up = type(error).__name__ == "TrialPruned"
            study.tell(trial, state=_states().PRUNED if given_up else _states().FAIL)
            if not given_up:
                raise
        else:
            study.tell(trial, value)
    done = [trial for trial in unfailed(study) if trial.state.is_finished()]
    # the value of a trial that was stopped early is a number of gates, not of edges
    edges = [one.value if one.state == _states().COMPLETE else None for one in done]
    best = min((one for one in done if one.state == _states().COMPLETE), key=lambda one: (one.value, one.number))
    told = [
        {"trial": number, "settings": one.params, "state": one.state.name, "edges": value}
        for number, (one, value) in enumerate(zip(done, edges, strict=True))
    ]
    return Tuned(settings_of(config, best.params), float(best.value), told)


def settings_of(config: PruneConfig, params: Mapping[str, float]) -> PruneConfig:
    """`config` with the settings of a trial. For the edge pruner, the trial's learning rate is `edge_lr`."""
    changes: dict[str, Any] = dict(params)
    changes["betas"] = (config.betas[0], 1 - changes.pop("one_minus_beta2"))
    if config.name.base == "edge":
        changes["edge_lr"] = changes.pop("lr")
    return replace(config, **changes)


def params_of(config: PruneConfig) -> dict[str, float]:
    """The inverse of `settings_of`. Settings outside the searched ranges are clamped to them."""
    edge = config.name.base == "edge"
    own = {"lr": config.edge_lr if edge else config.lr, "one_minus_beta2": 1 - config.betas[1]}
    values = {name: own[name] if name in own else getattr(config, name) for name in SPACE}
    return {name: min(max(values[name], low), high) for name, (low, high, _) in SPACE.items()}


def edges_with(model: GPT, task: Task, config: PruneConfig, trial: Any, progress: Progress | None) -> float:
    """Number of edges of the circuit that meets the target on validation pairs; of the whole model if none meets it."""
    ranking = rank_nodes(model, task, config, Watch(trial, config, progress))
    circuit = circuit_at(LossCurve(model, task, ranking, config, progress), config.target_loss)
    if not circuit.info.reached:
        return float(sum(count_edges(model, every_node(model)).values()))
    return float(circuit.edges(model))


class Watch:
    """A progress callback that stops a trial early if it does worse than the median of earlier trials at the same step.

    Trials are compared by the number of open gates times max(1, task loss / target loss), as a running mean over steps.
    No trial is stopped in the first half of its steps.
    """

    def __init__(self, trial: Any, config: PruneConfig, progress: Progress | None) -> None:
        self.trial, self.config, self.progress = trial, config, progress
        self.running: float | None = None

    def __call__(self, done: int, total: int, what: str) -> None:
        if self.progress is not None:
            self.progress(done, total, f"trial {self.trial.number}: {what}")

    def see(self, entry: Mapping[str, float], step: int, steps: int) -> None:
        """Use the numbers of a step; raises Optuna's `TrialPruned` to stop the trial."""
        import optuna

        value = entry["kept"] * max(1.0, entry["task_loss"] / self.config.target_loss)
        self.running = value if self.running is None else 0.9 * self.running + 0.1 * value
        if step % REPORT_EVERY == 0 and 2 * step >= steps:
            self.trial.report(self.running, step)
            if self.trial.should_prune():
                raise optuna.TrialPruned


def repair_journal(path: Path) -> None:
    """Remove what a killed process left in a journal: an unfinished last line, or a fragment of one before an entry.

    A fragment is on the same line as the entry that was written after it. Any other line that is not an entry is a
    `UserError`. The caller must hold the journal's lock.
    """
    for stale in path.parent.glob(f"{path.name}.lock*"):  # Optuna's own locks, which remain after a kill
        stale.unlink(missing_ok=True)
    data = read_bytes(path, "tuning journal") if os.path.lexists(path) else b""
    *lines, _ = data.split(b"\n")
    whole = b"".join(_entry(line, f"{path} line {number}") + b"\n" for number, line in enumerate(lines, start=1))
    if whole != data:
        with replacing(path) as temporary:
            temporary.write_bytes(whole)


def _entry(line: bytes, source: str) -> bytes:
    """The entry in a line of a journal, without the fragment that may be before it."""
    start = 0
    while start >= 0:
        try:
            if type(json.loads(line[start:]).get("op_code")) is int:
                return line[start:]
        except (ValueError, AttributeError, RecursionError):
            pass
        start = line.find(b'{"op_code"', start + 1)
    raise UserError(f"{source} is damaged; delete the journal to start the search again")


class Unlocked:  # has the methods of Optuna's BaseJournalFileLock, which is not imported at the top
    """Replaces Optuna's lock of a journal, which remains when a process is killed. `tune` has its own lock."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def open_study(storage: str | Path, name: str) -> Any:
    """The study called `name` in a journal file. It is created if it does not exist."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise UserError("tuning needs Optuna: install it with `pip install optuna`") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = Path(storage)
    make_folder(path.parent)
    inside(path.parent, path.name)
    backend = JournalFileBackend(str(path), lock_obj=Unlocked())  # type: ignore[arg-type]
    try:  # replays the whole journal; what an entry must hold is known to Optuna alone
        study = optuna.create_study(
            study_name=name,
            storage=JournalStorage(backend),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS),
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=(_states().COMPLETE,)):
            if set(trial.params) != set(SPACE) or trial.value is None:
                raise UserError(f"trial {trial.number} has other settings than are searched, or no result")
        return study
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"tuning journal {path} is damaged ({type(error).__name__}: {shown(str(error))}); "
            "delete it to start the search again"
        ) from None


def next_trial(study: Any, config: PruneConfig, index: int) -> Any:
    """Start trial number `index` (from 0), counting only trials that did not fail."""
    import optuna

    spaces = {
        name: optuna.distributions.FloatDistribution(low, high, log=log) for name, (low, high, log) in SPACE.items()
    }
    own = params_of(config)
    first = [own, {**own, **CENTRES}]
    waiting = study.get_trials(deepcopy=False, states=(_states().WAITING,))
    if index < len(first) and not waiting:
        study.enqueue_trial(first[index])
    study.sampler = optuna.samplers.TPESampler(
        seed=config.seed * SEED_STRIDE + index, n_startup_trials=RANDOM_TRIALS, constant_liar=True
    )
    return study.ask(spaces)


def unfailed(study: Any) -> list[Any]:
    """The trials that are finished or running, in order."""
    states = _states()
    return study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED, states.RUNNING))  # type: ignore[no-any-return]


def fail_abandoned(study: Any) -> None:
    """Mark trials that are recorded as running as failed, so that their settings are tried again.

    This process holds the journal's lock, so the processes that ran those trials have ended.
    """
    for trial in study.get_trials(deepcopy=False, states=(_states().RUNNING,)):
        study.tell(trial.number, state=_states().FAIL)


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState
