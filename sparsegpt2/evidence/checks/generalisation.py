"""Generalisation: does the circuit do the task on prompts unlike those that it was found on?

The circuit's loss is compared with the whole model's on
- seen: pairs of the train split, which was used to find the circuit;
- held-out names: pairs of the test split, which uses other names than the train split;
- longer: test pairs with other code before each prompt, until the model's context is full;
- distractors: test pairs with a finished program before each prompt. The program asks the same question and answers it.

A task can make the prompts of the last two kinds itself (`task.VariedTask`). `surroundings.py` makes them for all other
tasks.
"""

from __future__ import annotations

from sparsegpt2.circuits.losses import task_loss
from sparsegpt2.circuits.task import SURROUNDINGS
from sparsegpt2.errors import UserError
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import all_of, at_most, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.evidence.surroundings import in_surroundings
from sparsegpt2.progress import Progress


def run(case: Case, progress: Progress) -> Finding:
    """On all four kinds of prompts the circuit must meet the bar, which depends on the whole model's loss on them."""
    batches, missing = {"seen": case.pairs("train"), "held-out names": case.batch}, {}
    for kind in SURROUNDINGS:
        try:
            task = in_surroundings(case.task, kind, case.model.config.context, case.text)
            batches[kind] = case.pairs("test", task=task)
        except UserError as error:
            missing[kind] = str(error)
    numbers, verdicts, bars, said = {}, [], {}, []
    for done, (kind, batch) in enumerate(batches.items(), 1):
        full = task_loss(case.whole_logits(batch), batch)
        loss = case.losses(case.nodes, weights=case.weights, batch=batch, calibrated=True)[0]
        numbers[kind], numbers[f"{kind}, whole model"] = mean_over_pairs(loss), mean_over_pairs(full)
        bars[kind] = case.bar(full)
        verdicts.append(at_most(numbers[kind], bars[kind]))
        said.append(f"{kind} {numbers[kind].value:.3f} ({float(full.mean()):.3f})")
        progress(done, len(batches), "generalisation")
    return Finding(
        verdict=all_of(verdicts),
        says=f"loss (and the whole model's): {', '.join(said)}",
        numbers=numbers,
        details={"bars": bars, "verdicts": dict(zip(batches, verdicts, strict=True)), "not posed": missing},
    )


CHECK = Check(asks="Does the circuit do the task with other names, longer prompts and distractors?", run=run)
