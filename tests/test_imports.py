"""The arrows of the architecture: who may import whom, and that heavy packages wait until they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("sparsegpt2", "train", "eval_tasks")
LEVELS = ["config", "kernels", "model", "circuits", "report"]  # each may import those before it and itself
LEVEL_OF = {"errors": 0, "files": 0, "config": 0, "tokenizer": 0, "command": 0, "kernels": 1, "model": 2, "sparsity": 2}
LEVEL_OF |= {"circuits": 3, "components": 3, "report": 4, "interop": 4, "hub": 0, "zoo": 0, "lanes": 0}
HEAVY = {"datasets", "tokenizers", "optuna", "matplotlib", "pyarrow", "pandas", "rich", "tensorboard", "jsonargparse"}
HEAVY |= {"transformers", "transformer_lens", "networkx", "huggingface_hub"}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text())


def imports(tree: ast.AST, top_level_only: bool = False):
    for node in ast.iter_child_nodes(tree) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module


def test_train_and_eval_tasks_never_meet_and_sparsegpt2_imports_neither():
    for name, tree in modules():
        package = name.split(".")[0]
        for imported in imports(tree):
            other = imported.split(".")[0]
            if other in PACKAGES and other != package and name != "sparsegpt2.cli":
                assert other == "sparsegpt2", f"{name} imports {imported}"
            assert imported != "sparsegpt2.cli", f"{name} imports the command line"


def test_inside_sparsegpt2_imports_go_down():
    for name, tree in modules():
        parts = name.split(".")
        if parts[0] != "sparsegpt2" or parts[1] in ("cli", "__init__"):
            continue
        for imported in imports(tree):
            target = imported.split(".")
            if target[0] == "sparsegpt2" and len(target) > 1:
                assert LEVEL_OF[target[1]] <= LEVEL_OF[parts[1]], f"{name} imports {imported}"


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
