"""`sparsegpt2 read MODEL CIRCUIT...`: write a page that explains circuits, and test the explanations.

    sparsegpt2 prune runs/mine --task single_double_quote --pruner node+trim --out quote.json
    sparsegpt2 read runs/mine quote.json --out docs/results/circuits

The second command writes the page docs/results/circuits.md. Its figures, and a JSON file of measurements for each task,
go to the folder docs/results/circuits. For each circuit the page shows the graph, the nodes, an explanation and
experiments that test the explanation.

The experiments of a task are defined in a file in sparsegpt2/reading/tasks. The explanation of a circuit is written by
a person, in a file in sparsegpt2/reading/words. The first line of that file is `circuit: ` and the fingerprint of the
circuit, which the page shows.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from sparsegpt2.config import require
from sparsegpt2.settings import Parser


def read_parser() -> Parser:
    """The parser of the settings of `read`."""
    parser = Parser(
        "read MODEL CIRCUIT... --out OUT",
        "Write a Markdown page that explains circuits. For each circuit it has the graph, the nodes, an explanation in "
        "words, and experiments on the whole model that test the explanation.",
    )
    parser.positional("model", "A model or a run.")
    parser.positional("circuits", "Circuit files of that model, one per task.", metavar="CIRCUIT", many=True)
    parser.add(
        "out",
        str,
        help="Folder for the figures. The page is written next to it, as OUT.md.",
        metavar="OUT",
        required=True,
    )
    parser.add("pairs", int, 128, help="Number of prompt pairs for each condition of an experiment.")
    parser.add(
        "windows", int, 256, help="Number of windows of corpus text on which activations of nodes are shown; 0: none."
    )
    parser.add("seed", int, 0, help="Seed for the prompts, and for the random nodes that the controls patch.")
    parser.add("tasks", tuple[str, ...], (), help="Files with your own tasks.", metavar="FILE.py,FILE.py")
    parser.alias(task="tasks")
    return parser


def read(arguments: list[str]) -> None:
    """Write a page that explains circuits, with experiments that test each explanation."""
    settings = read_parser().parse(arguments)

    from eval_tasks.bench.subjects import short_names
    from eval_tasks.registry import TASKS, get_task
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.commands.read_page import about, read_circuit, task_of, write_figures
    from sparsegpt2.files import check_writable, write_text
    from sparsegpt2.locate import model_directory
    from sparsegpt2.model.checkpoint import load_model
    from sparsegpt2.reading.measure import DRAWS
    from sparsegpt2.reading.page import page
    from sparsegpt2.text.sample import text_to_look_at
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.viewer import Viewed

    for task in settings.tasks:
        TASKS.resolve(task)  # registers the task, so that it is found by the name that a circuit's file gives
    require(settings.pairs >= 1, f"--pairs must be at least 1, got {settings.pairs}")
    require(settings.windows >= 0, f"--windows must be 0 or more, got {settings.windows}")
    directory, out = model_directory(settings.model), Path(settings.out)
    check_writable(out.with_suffix(".md"))
    model, tokenizer = load_model(directory), Tokenizer.load(directory)
    circuits = {file: Circuit.load(file) for file in settings.circuits}
    tasks = [task_of(circuit, file) for file, circuit in circuits.items()]
    for task in tasks:
        require(
            tasks.count(task) == 1,
            f"two of the circuits are for the task {task}; a page shows only one circuit for each task",
        )
    for circuit in circuits.values():
        circuit.check(model)
    corpus, corpus_name = None, ""
    if settings.windows:
        corpus, corpus_name = text_to_look_at(directory, settings.windows, model.config.context)
    reads = []
    for task, (file, circuit) in zip(tasks, circuits.items(), strict=True):
        print(f"{task}: {file}", flush=True)
        subject = Viewed(
            model=model,
            name=short_names([directory])[0],
            tokenizer=tokenizer,
            task=get_task(task, tokenizer, trusted=False),
            corpus=corpus,
            corpus_name=corpus_name,
        )
        reads.append(read_circuit(circuit, subject, settings.pairs, settings.seed))
        write_figures(reads[-1], out)
    command = shlex.join(["sparsegpt2", "read", *arguments])
    write_text(out.with_suffix(".md"), page(reads, about(model, directory, command, settings.seed), out.name, DRAWS))
    print(out.with_suffix(".md"))
