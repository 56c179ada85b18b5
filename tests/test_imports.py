"""Who may import whom: one ordered list of rooms, each importing only those before it; and heavy packages wait."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("sparsegpt2", "train", "eval_tasks")
ROOMS = ["lazy", "errors", "siblings", "plain", "files", "lock", "checksum", "process", "usercode", "registry"]
ROOMS += ["locate", "allocator", "configs", "settings", "config", "progress"]
ROOMS += ["kernels", "text", "model", "sparsity", "results", "circuits"]
ROOMS += ["evidence", "components", "report", "viewer", "reading"]
ROOMS += ["interop", "zoo", "train", "eval_tasks", "commands", "cli"]
"""From the ground up. A module belongs to the room of its first name below `sparsegpt2`, or to `train` or
`eval_tasks`; it may import its own room and those before it."""
OUTSIDE = {"sparsegpt2", "sparsegpt2.api", "sparsegpt2.__main__", "train.__main__", "eval_tasks.__main__"}
"""The package's face, which names what the rooms hold and joins them, and the entry points `python -m`."""
HEAVY = {"datasets", "tokenizers", "optuna", "matplotlib", "pyarrow", "pandas", "rich", "tensorboard"}
HEAVY |= {"transformers", "transformer_lens", "networkx", "huggingface_hub"}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


def imports(tree: ast.AST, top_level_only: bool = False):
    for node in ast.iter_child_nodes(tree) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of a module of this project; None for the package's face and for other packages."""
    first, *rest = module.split(".")
    if first == "sparsegpt2":
        return rest[0] if rest else None
    return first if first in PACKAGES else None


def test_every_room_is_in_the_list_and_every_entry_is_a_room():
    assert {room_of(name) for name, _ in modules() if name not in OUTSIDE} == set(ROOMS)


def test_rooms_import_only_those_before_them():
    for name, tree in modules():
        if name in OUTSIDE:
            continue
        for imported in imports(tree):
            room = room_of(imported)
            if room in ROOMS:
                assert ROOMS.index(room) <= ROOMS.index(room_of(name)), f"{name} imports {imported}"


def test_only_the_commands_see_training_and_tasks_together():
    for name, tree in modules():
        if room_of(name) not in ("commands", "cli") and name not in OUTSIDE:
            seen = {room_of(imported) for imported in imports(tree)} | {room_of(name)}
            assert not {"train", "eval_tasks"} <= seen, f"{name} sees training and tasks"


def test_no_circle_of_modules():
    """Imports inside functions and under TYPE_CHECKING count too: a circle is a room that cannot be read in order."""
    graph = {}
    trees = dict(modules())
    for name, tree in trees.items():
        if name not in OUTSIDE:
            graph[name] = {imported for imported in imports(tree) if imported in trees} - OUTSIDE - {name}
            packages = {other for other in graph[name] if any(one.startswith(f"{other}.") for one in graph[name])}
            graph[name] -= packages  # `from package.module import name` is no arrow to the package
            graph[name] = {other for other in graph[name] if not name.startswith(f"{other}.")}
    while free := [name for name, needs in graph.items() if not needs]:
        graph = {name: needs - set(free) for name, needs in graph.items() if name not in free}
    assert not graph, f"circles among {', '.join(sorted(graph))}"


def test_heavy_packages_are_imported_where_they_are_used():
    for name, tree in modules():
        if name == "sparsegpt2.interop.modeling_sparsegpt2":
            continue  # travels with exported models; only transformers imports it
        for imported in imports(tree, top_level_only=True):
            assert imported.split(".")[0] not in HEAVY, f"{name} imports {imported} at module level"


def test_model_trainer_and_pruner_import_without_heavy_packages():
    blocked = HEAVY | {"numba", "triton", "scipy"}
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}: raise ImportError(name)
sys.meta_path.insert(0, Block())
import torch, sparsegpt2, sparsegpt2.circuits, train.loop, eval_tasks
model = sparsegpt2.GPT(sparsegpt2.GPTConfig(vocab_size=30, context=8, d_model=16))
model(torch.zeros(1, 8, dtype=torch.long))
sparsegpt2.sparsity.project_(model.wte.weight.data, 0.5)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
