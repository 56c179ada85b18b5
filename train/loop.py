"""The training loop: forward in low precision, loss in float32, scaled gradients, AdamW, projection.

The projection sets all weights but those of largest magnitude to zero (Gao et al. 2025, arXiv 2511.13653, section 2.2).

Shapes: B sequences in a batch, T tokens in a sequence.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sparsegpt2.allocator import keep_freed_memory
from sparsegpt2.circuits.means import node_means
from sparsegpt2.config import to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.lock import locked
from sparsegpt2.model.checkpoint import load_model, model_info, save_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results import commit
from sparsegpt2.settings import torch_device
from sparsegpt2.sparsity.memory import project_and_remember_, recall_
from sparsegpt2.sparsity.optimizer import make_optimizer, optimizer_step
from sparsegpt2.sparsity.project import check_feasible
from sparsegpt2.sparsity.schedule import density_at, learning_rate_at
from sparsegpt2.sparsity.stats import dead_neurons, l0, l0_by_tensor, residual_kurtosis
from sparsegpt2.text.data import TokenData, prepare
from sparsegpt2.text.tokenizer import Tokenizer
from train.ahead import Ahead
from train.begin import check_tokenizer, check_vocabulary, initial_model
from train.config import TrainConfig
from train.folder import check_folder, plain, record_settings
from train.log import Clock, RunLog, synchronise
from train.state import Progress, load_state, save_state, saved_at


def train(config: TrainConfig, out: str | Path, greet: Callable[[Tokenizer], None] | None = None) -> Path:
    """Train into the run folder `out`, resuming where an earlier call stopped. Returns the folder of the best model.

    `out` gets config.yaml, metrics.jsonl, tensorboard/, last/ (resumable) and best/ (lowest held-out loss at the
    target density). A run that was killed and resumed ends with the same weights, bit for bit, as a run that was not.
    The device, the sizes of the model, the corpora and the content of `out` are checked before anything is written.
    `UserError` if one of them is wrong, if another process is training into `out`, or if `out` holds anything but a run
    with these settings.

    greet: a function that is called with the tokenizer after the text is prepared, unless the run is resumed.
    """
    out = Path(out)
    with locked(out, "run folder"):
        check_folder(out, config)
        if config.threads:
            torch.set_num_threads(config.threads)
        trainer = Trainer(config, out)
        if greet is not None and trainer.progress.step == 0:
            greet(trainer.data.tokenizer)
        with interruptible() as stop:
            trainer.run(stop)
    return out / "best"


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Inside the block, the first SIGINT and the first SIGTERM do not end the process but are added to the list.

    If the same signal comes again, it acts as it does outside the block.
    """
    caught: list[int] = []
    earlier: dict[int, Any] = {}

    def catch(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, earlier[number])

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            earlier[wanted] = signal.signal(wanted, catch)
    except ValueError:  # not in the main thread, where Python allows no signal handlers
        pass
    try:
        yield caught
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def take_step(
    model: GPT,
    optimizer: torch.optim.AdamW,
    config: TrainConfig,
    step: int,
    tokens: torch.Tensor,
    targets: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Training step number `step` (from 0) on tokens and targets [B, T]. Returns its loss and the RMS of its gradients.

    The loss is in nats per token, and the RMS is taken before the gradients are scaled; both are scalars on the device.
    """
    share = (step + 0.5) / config.steps  # at the middle of the step the rate is above 0, in the first and last step too
    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(share, config.optimizer, config.sparsity)
    loss = model.loss(tokens, targets)
    loss.backward()
    recall_(model, optimizer)
    rms = optimizer_step(optimizer, config.optimizer.gradient_rms)
    project_and_remember_(model, optimizer, config.sparsity, (step + 1) / config.steps)
    return loss.detach(), rms


def device_of(config: TrainConfig) -> torch.device:
    """The torch device of a run; `UserError` if it cannot be used."""
    return torch_device(config.device)


class Trainer:
    """One run: its model, data, optimiser and progress, and the training loop."""

    def __init__(self, config: TrainConfig, out: Path) -> None:
        self.config, self.out = config, out
        self.device = device_of(config)
        if self.device.type == "cpu":
            keep_freed_memory()
        with torch.device("meta"):  # shapes only: report impossible settings before the text is read
            check_feasible(GPT(config.model), config.sparsity)
        check_vocabulary(config)
        last = saved_at(out / "last")
        begin = None if last else initial_model(config)
        self.data: TokenData = prepare(config.data, config.prepared_data, window=config.length + 1)
        if begin is not None:
            check_tokenizer(config.init, self.data.tokenizer)
        self.belongs_to = {"tokenizer": self.data.tokenizer.fingerprint, "data": self.data.fingerprint}
        torch.manual_seed(config.seed)
        self.model = GPT(config.model)
        if begin is not None:
            self.model.load_state_dict(begin.state_dict())
        self.model.to(self.device).compute_dtype = getattr(torch, config.dtype)
        self.optimizer = make_optimizer(self.model, config.optimizer)
        self.progress = load_state(last, self.model, self.optimizer, self.belongs_to) if last else Progress()
        if self.progress.step < config.steps:
            self.progress.finished = False  # `tokens` has grown since the run finished
        self.batches = Ahead(self.batch, self.progress.step)
        self.unread: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Loss and gradient RMS of the last steps. They stay on the device for some steps, because the host must wait
        for a GPU whenever it reads a value."""
        self.clock = Clock()

    def run(self, stop: list[int]) -> None:
        """Train to the end. If `stop` holds a signal, save after the current step and raise KeyboardInterrupt."""
        if self.progress.finished:
            print(f"{self.out} is finished: {self.config.steps} steps")
            return
        record_settings(self.out, self.config, self.progress.step)
        evaluations = self.config.evaluation_steps()
        log = RunLog(self.out, self.progress.step, self.config.steps, self.out.name)
        try:
            while self.progress.step < self.config.steps:
                with self.clock.measure("training"):
                    self.step()
                    step = self.progress.step
                    due = step in evaluations or step % self.config.log_every == 0 or self.checkpoint_due(step)
                    if due or stop or self.device.type == "cpu":
                        self.read_losses()
                self.progress.seconds += self.clock.last
                if step % self.config.log_every == 0 or step in evaluations:
                    self.report(log, evaluate=step in evaluations)
                if step in evaluations or self.checkpoint_due(step):
                    self.save()
                if stop:
                    self.save()
                    raise KeyboardInterrupt
            self.finish()
            print(self.clock.summary())
        finally:
            self.batches.close()
            log.close()

    def checkpoint_due(self, step: int) -> bool:
        """Whether `checkpoint_every` asks to save `last` after this step."""
        return bool(self.config.checkpoint_every) and step % self.config.checkpoint_every == 0

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and targets [B, T] of a step, which depend only on (seed, step); in pinned memory if a GPU is used."""
        config = self.config
        tokens, targets = self.data.batch("train", step, config.batch_size, config.length, config.seed)
        return (tokens.pin_memory(), targets.pin_memory()) if self.device.type == "cuda" else (tokens, targets)

    def step(self) -> None:
        """Do one training step, and add its loss and gradient RMS to `unread`."""
        tokens, targets = (part.to(self.device, non_blocking=True) for part in self.batches.next())
        self.unread.append(take_step(self.model, self.optimizer, self.config, self.progress.step, tokens, targets))
        self.progress.step += 1

    def read_losses(self) -> None:
        """Move the values in `unread` to the running sums of `progress`; `UserError` for a loss that is not finite."""
        for before, (loss, rms) in zip(reversed(range(len(self.unread))), self.unread, strict=True):
            value = loss.item()
            self.progress.running_loss += value
            self.progress.running_rms += rms.item()
            self.progress.running_steps += 1
            self.require_finite("loss", value, self.progress.step - before)
        self.unread.clear()

    def require_finite(self, what: str, value: float, step: int) -> None:
        """`UserError` if `value`, a loss after step `step`, is not finite. what: its name in the message."""
        if not math.isfinite(value):
            self.fail(f"the {what} became {value}", step)

    def require_finite_weights(self) -> None:
        """`UserError` if a weight is not finite.

        A finite loss of the last training step does not rule this out, because it was computed before the update.
        """
        wrong = sum(int((~weight.isfinite()).sum()) for weight in self.model.parameters())
        if wrong:
            self.fail(f"{wrong} weights became nan or infinite", self.progress.step)

    def fail(self, what: str, step: int) -> None:
        """Raise a `UserError` that names the step, the last good checkpoint and a remedy."""
        last = self.out / "last"
        kept = f"the last good checkpoint is in {last}" if last.exists() else "no checkpoint was saved yet"
        rate = f"a lower optimizer.lr (now {self.config.optimizer.lr:g}) usually helps"
        raise UserError(f"{what} at step {step}; {kept}; {rate}")

    def report(self, log: RunLog, *, evaluate: bool) -> None:
        """Log the means over the steps since the last report.

        evaluate: also measure and log held-out loss and the numbers of dead neurons and attention channels (those
        without input or output weights), log histograms, and save `best` if the model is the best so far.
        """
        progress, config = self.progress, self.config
        share = progress.step / config.steps
        values: dict[str, Any] = {
            "step": progress.step,
            "tokens": progress.step * config.batch_size * config.length,
            "loss": progress.running_loss / progress.running_steps,
            "density": density_at(share, config.sparsity),
            "lr": learning_rate_at(share, config.optimizer, config.sparsity),
            "gradient_rms": progress.running_rms / progress.running_steps,
            "tokens_per_second": progress.step * config.batch_size * config.length / progress.seconds,
        }
        progress.running_loss = progress.running_rms = 0.0
        progress.running_steps = 0
        if evaluate:
            with self.clock.measure("validation"):
                dead = dead_neurons(self.model)
                values |= {
                    "held_out_loss": self.held_out_loss(self.model, self.config.validation_tokens),
                    "l0": l0(self.model),
                    "dead_mlp_neurons": dead["mlp"],
                    "dead_attention_channels": dead["attn"],
                }
                self.require_finite("held-out loss", values["held_out_loss"], progress.step)
                self.require_finite_weights()
            with self.clock.measure("checkpoints"):
                self.keep_best(values["held_out_loss"], share)
        with self.clock.measure("logging"):
            if evaluate:
                log.histograms(self.model, progress.step)
            log.metrics(values)
            log.console(progress.step, values, self.held_out_tokens(config.validation_tokens) if evaluate else 0)

    def keep_best(self, loss: float, share: float) -> None:
        """Save the model as `best` if its held-out `loss` is the lowest so far at the target density.

        share: share of the training that is done. Before the end of annealing, models are denser than the target and
        do not count.
        """
        if self.config.sparsity.is_sparse and share < self.config.sparsity.anneal_end:
            return
        if self.progress.best_loss is None or loss < self.progress.best_loss:
            self.progress.best_loss = loss
            save_model(self.model, self.out / "best", tokenizer=self.data.tokenizer, info=self.info())

    @torch.no_grad()
    def held_out_loss(self, model: GPT, tokens: int) -> float:
        """Mean loss of `model` in nats per token over about `tokens` held-out tokens, in the model's compute dtype."""
        losses = [
            model.loss(inputs.to(self.device), targets.to(self.device)).item()
            for inputs, targets in self.held_out_batches(tokens)
        ]
        return sum(losses) / len(losses)

    def held_out_tokens(self, tokens: int) -> int:
        """The exact number of tokens in a held-out loss over about `tokens`."""
        return sum(inputs.numel() for inputs, _ in self.held_out_batches(tokens))

    def held_out_batches(self, tokens: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Held-out batches with about `tokens` tokens in total, the same ones at every call."""
        rows = min(self.config.batch_size, 32)
        count = max(1, tokens // (rows * self.config.length))
        return self.data.held_out(rows, self.config.length, count)

    def save(self) -> None:
        """Save `last`, from which the run can resume exactly."""
        with self.clock.measure("checkpoints"):
            self.require_finite_weights()
            last, told = self.out / "last", (self.data.tokenizer, self.info(), self.belongs_to)
            save_state(last, self.model, self.optimizer, self.progress, *told)

    def info(self) -> dict[str, Any]:
        """What the model's config.json records about the run so far. `complete_best` adds what is measured on text."""
        config, progress = self.config, self.progress
        return {
            "step": progress.step,
            "tokens": progress.step * config.batch_size * config.length,
            "seconds": round(progress.seconds, 1),
            "l0": l0(self.model),
            "l0_by_tensor": l0_by_tensor(self.model),
            "dead_neurons": dead_neurons(self.model),
            "density": density_at(progress.step / config.steps, config.sparsity),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "seed": config.seed,
            "tokenizer": self.data.tokenizer.fingerprint,
            "commit": commit(),
            "torch": torch.__version__,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "train": plain(to_dict(config)),
        }

    def finish(self) -> None:
        """Complete `best`, mark the run as finished, and save it."""
        with self.clock.measure("means and final loss"):
            self.complete_best()
        self.progress.finished = True
        self.save()

    def complete_best(self) -> None:
        """Add node means, held-out loss and the kurtosis of the residual stream to `best`, all computed in float32."""
        synchronise(self.device)
        model = load_model(self.out / "best", self.device)
        batches = self.held_out_batches(self.config.held_out_tokens)
        rows = max(1, self.config.means_tokens // self.config.length)
        sample, _ = self.data.batch("train", 0, rows, self.config.length, self.config.seed + 1)
        model.means = node_means(model, sample.to(self.device))
        info = model_info(self.out / "best") | {
            "held_out_loss": self.held_out_loss(model, self.config.held_out_tokens),
            "held_out_tokens": self.held_out_tokens(self.config.held_out_tokens),
            "means_tokens": sample.numel(),
            "kurtosis": residual_kurtosis(model, [tokens.to(self.device) for tokens, _ in batches]),
        }
        save_model(model, self.out / "best", tokenizer=self.data.tokenizer, info=info)
        loss, tokens = info["held_out_loss"], info["held_out_tokens"]
        print(f"{self.out.name}: held-out loss of the best model {loss:.4f} nats per token over {tokens:,} tokens")
