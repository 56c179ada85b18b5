"""Folders of models that were changed at random, or made to ask for memory: one sentence each, at once, in little RAM.

The changes are drawn with fixed seeds. Memory is bounded by the kernel (RLIMIT_AS) in a process of its own.
"""

from __future__ import annotations

import copy
import json
import random
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.interop import compiled, gpt2, openai
from sparsegpt2.interop.torch_file import load_state_dict
from sparsegpt2.model import tensors
from sparsegpt2.model.sites import node_sites

COMPILED = Path(__file__).parents[1] / "components" / "compiled" / "hist"
GPT2 = {"model_type": "gpt2", "vocab_size": 60, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    1.5,
    1e308,
    -1e308,
    2**31,
    2**63,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "nan",
]
VALUES += ["rms", "\ud800", "x" * 300, [], {}, [None], {"a": 1}, [2**63] * 3, [[1]]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each format, by name, with the function that reads it and the JSON file that describes it."""
    root = tmp_path_factory.mktemp("formats")
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=60, context=16, d_model=16, n_layer=2, positions="concat_learned", d_pos=3))
    model.means = {name: torch.zeros(width) for name, width in node_sites(model.config).items()}
    save_model(model, root / "model")
    with torch.no_grad():
        model.wte.weight[:, 3:] = 0
        model.bigram[5] = 1.0
    save_model(model, root / "compact", compact=True)
    config = json.loads((root / "model" / "config.json").read_text())
    for name in ("model", "compact"):  # without checksums, as in earlier versions, so that changes reach the readers
        (root / name / "config.json").write_text(json.dumps({key: config[key] for key in ("format", "model", "info")}))
    openai.export(GPT(GPTConfig(vocab_size=60, context=16, d_model=16, n_layer=1)), root / "openai")
    like_gpt2 = {"norm": "layer", "positions": "learned", "activation_density": 1.0, "tied_unembedding": True}
    like_gpt2 |= {"vocab_size": 60, "context": 16, "d_model": 16, "n_layer": 1, "n_head": 2, "d_head": 8}
    shape = GPTConfig(sink=False, bigram_table=False, **like_gpt2)
    (root / "gpt2").mkdir()
    (root / "gpt2" / "config.json").write_text(json.dumps(GPT2))
    stored = {name: value.detach().contiguous() for name, value in gpt2._published_tensors(GPT(shape)).items()}
    save_file(stored, root / "gpt2" / "model.safetensors")
    shutil.copytree(COMPILED, root / "compiled")
    return {
        "model": (root / "model", load_model, "config.json"),
        "compact": (root / "compact", load_model, "config.json"),
        "openai": (root / "openai", openai.load, "beeg_config.json"),
        "gpt2": (root / "gpt2", gpt2.load, "config.json"),
        "compiled": (root / "compiled", lambda folder: compiled.read(folder).task().batch("train", 2, 0), "model.json"),
    }


def places(value, path=()):
    """Every place in a JSON value, as keys from the outside in."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*path, key))


def changed(value, draw: random.Random):
    """`value` with one place removed, renamed or replaced."""
    value = copy.deepcopy(value)
    *most, last = draw.choice([path for path in places(value) if path])
    holder = value
    for key in most:
        holder = holder[key]
    kind = draw.random()
    if kind < 0.15:
        del holder[last]
    elif kind < 0.25 and isinstance(holder, dict):
        holder[str(last)[:-1]] = holder.pop(last)
    else:
        holder[last] = draw.choice(VALUES)
    return value


def outcome(read, folder) -> str:
    """The sentence of a folder that is refused; empty for one that is read. Any other exception is the test's."""
    started = time.process_time()
    try:
        read(folder)
        sentence = ""
    except UserError as error:
        sentence = str(error)
        assert sentence.strip() and "\n" not in sentence and len(sentence) < 1500, sentence
    assert time.process_time() - started < 5
    return sentence


@pytest.mark.parametrize("name", ["model", "openai", "gpt2", "compiled"])
def test_changed_values_are_one_sentence(folders, tmp_path, name):
    source, read, described = folders[name]
    folder = shutil.copytree(source, tmp_path / name)
    assert outcome(read, folder) == ""
    original, draw, refused = json.loads((folder / described).read_text()), random.Random(0), 0
    for _ in range(120):
        text = json.dumps(changed(original, draw))
        if draw.random() < 0.1:
            text = text[: draw.randrange(len(text))]
        (folder / described).write_text(text)
        refused += bool(outcome(read, folder))
    assert refused > 20


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", '"x"', "[" * 100_000, "1" * 5000, "\ufeff{}", '{"a": 1e999999}']
)
@pytest.mark.parametrize("name", ["model", "openai", "gpt2", "compiled"])
def test_strange_json_is_one_sentence(folders, tmp_path, name, text):
    source, read, described = folders[name]
    folder = shutil.copytree(source, tmp_path / name)
    (folder / described).write_text(text)
    assert outcome(read, folder)
    (folder / described).write_bytes(b"\xff\xfe{\x00")
    assert outcome(read, folder)


def headers(content: bytes, draw: random.Random) -> bytes:
    """A safetensors file with one change in its header, whose length stays right."""
    length = int.from_bytes(content[:8], "little")
    header = changed(json.loads(content[8 : 8 + length]), draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def flipped(content: bytes, draw: random.Random) -> bytes:
    start = draw.choice([0, 0, len(content) // 2])
    place = draw.randrange(start, min(len(content), start + 400))
    return content[:place] + bytes([draw.randrange(256)]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("name", "file"),
    [("model", "model.safetensors"), ("compact", "model.safetensors"), ("model", "node_means.safetensors"),
     ("gpt2", "model.safetensors"), ("openai", "final_model.pt"), ("compiled", "weights.npz")],
)  # fmt: skip
def test_changed_bytes_are_one_sentence_or_numbers(folders, tmp_path, name, file):
    source, read, _ = folders[name]
    folder = shutil.copytree(source, tmp_path / name)
    content, draw = (folder / file).read_bytes(), random.Random(1)
    for turn in range(60):
        if file.endswith("safetensors") and turn % 2:
            changed_content = headers(content, draw)
        elif turn % 6 == 0:
            changed_content = content[: draw.randrange(len(content))]
        else:
            changed_content = flipped(content, draw)
        (folder / file).write_bytes(changed_content)
        outcome(read, folder)


def test_changed_lists_of_compact_tensors_are_one_sentence(folders, tmp_path):
    source, read, _ = folders["compact"]
    folder, draw = shutil.copytree(source, tmp_path / "compact"), random.Random(2)
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    stored, listed = load_file(path), json.loads(metadata["tensors"])
    for _ in range(60):
        save_file(stored, path, metadata | {"tensors": json.dumps(changed(listed, draw))})
        assert outcome(read, folder) or draw


# --- Memory -----------------------------------------------------------------------------------------------------------

CHILD = """
import resource, sys
import torch
from sparsegpt2 import UserError, load_model
from sparsegpt2.interop import compiled, gpt2, openai
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**30, taken + 2**30))
readers = {"model": load_model, "openai": openai.load, "gpt2": gpt2.load, "compiled": compiled.load}
for line in sys.stdin.read().splitlines():
    kind, folder = line.split("\\t")
    try:
        readers[kind](folder)
        print("read", folder)
    except UserError as error:
        print("refused", str(error)[:120])
# Not ru_maxrss, which begins with the peak of the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(peak.split()[1]) // 1024)
"""


def edited(folder, described, **values):
    config = json.loads((folder / described).read_text())
    (config.get("model", config)).update(values)
    (folder / described).write_text(json.dumps(config))


def empty_rows(path, shapes):
    """A compact file that lists tensors of these shapes and stores none of their rows."""
    listed = {name: {"form": "rows", "shape": shape} for name, shape in shapes.items()}
    stored = {f"{name}.rows": torch.zeros(0, dtype=torch.uint8) for name in shapes}
    stored |= {f"{name}.values": torch.zeros(0, shape[-1]) for name, shape in shapes.items()}
    save_file(stored, path, {"layout": "sparsegpt2 compact 1", "tensors": json.dumps(listed)})


def demanding(folders, root):
    """(kind, folder) of small folders that ask for gigabytes, or for a billion layers."""
    made = []

    def copy_of(name, kind=None):
        folder = shutil.copytree(folders[name][0], root / str(len(made)))
        made.append((kind or name, folder))
        return folder

    big = {"vocab_size": 2**31, "context": 2**40, "n_layer": 10**9, "d_model": 2**31, "d_head": 2**31, "d_mlp": 2**33}
    for key, value in big.items():
        edited(copy_of("model"), "config.json", **{key: value})
        edited(copy_of("compact", "model"), "config.json", **{key: value})
    for key, value in {"n_layer": 10**9, "vocab_size": 2**31, "n_positions": 2**33, "n_inner": 2**32}.items():
        edited(copy_of("gpt2"), "config.json", **{key: value})
    for key, value in {"n_layer": 10**9, "vocab_size": 2**31, "block_size": 2**33, "d_pos_emb": 2**31}.items():
        edited(copy_of("openai"), "beeg_config.json", **{key: value})
    edited(copy_of("openai"), "beeg_config.json", d_pos_emb=2**31, sinusoidal_cat_pos_emb=True)
    for key, value in {"n_layer": 10**9, "d_head": 2**33, "d_mlp": 2**33, "n_head": 2**40}.items():
        edited(copy_of("compiled"), "model.json", **{key: value})
    # a compact file that agrees with its config, and holds nothing
    config = GPTConfig(
        vocab_size=60_000, context=8, d_model=20_000, n_layer=1, bigram_table=False, sink=False, bias=False
    )
    with torch.device("meta"):
        shapes = {name: list(value.shape) for name, value in GPT(config).state_dict().items()}
    folder = copy_of("model")
    edited(folder, "config.json", vocab_size=60_000, context=8, d_model=20_000, d_head=16, n_head=1250, d_mlp=80_000,
           n_layer=1, bigram_table=False, sink=False, bias=False, positions="none", d_pos=0)  # fmt: skip
    empty_rows(folder / "model.safetensors", shapes)
    (folder / "node_means.safetensors").unlink()
    empty_rows(copy_of("model") / "node_means.safetensors", {"0.attn.q": [2**33]})
    # a .pt file with one number for a whole matrix, and archives that unpack to more than they are
    folder = copy_of("openai")
    torch.save({"lm_head.weight": torch.zeros(1).expand(2**20, 2**20)}, folder / "final_model.pt")
    folder = copy_of("openai")
    torch.save({"lm_head.weight": torch.zeros(2**22)}, folder / "large.pt")
    packed = zipfile.ZipFile(folder / "final_model.pt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(folder / "large.pt") as plain, packed as small:
        for member in plain.infolist():
            small.writestr(member.filename, plain.read(member))
    (folder / "large.pt").unlink()
    folder = copy_of("compiled")
    with np.load(folder / "weights.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(folder / "weights.npz", **arrays, huge=np.zeros(220_000_000, dtype=np.uint8))
    return made


def test_small_files_cannot_ask_for_gigabytes(folders, tmp_path):
    made = demanding(folders, tmp_path)
    lines = "\n".join(f"{kind}\t{folder}" for kind, folder in made)
    found = subprocess.run([sys.executable, "-c", CHILD], input=lines, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr[-2000:]
    *answers, peak = found.stdout.splitlines()
    assert len(answers) == len(made) and all(answer.startswith("refused") for answer in answers), answers
    assert not any("damaged" in answer and "MemoryError" in answer for answer in answers)
    assert int(peak.split()[1]) < 1000, peak


def test_the_limit_can_be_lifted(tmp_path, monkeypatch):
    empty_rows(tmp_path / "x.safetensors", {"t": [30, 40]})
    assert torch.equal(tensors.read_tensors(tmp_path / "x.safetensors")["t"], torch.zeros(30, 40))
    monkeypatch.setattr(tensors, "SPARE", 0)
    monkeypatch.setattr(tensors, "EACH_BYTE", 1)
    with pytest.raises(UserError, match=r"asks for 1,200 numbers.*SPARSEGPT2_MOST_NUMBERS to 1200"):
        tensors.read_tensors(tmp_path / "x.safetensors")
    monkeypatch.setenv("SPARSEGPT2_MOST_NUMBERS", "1200")
    assert tensors.read_tensors(tmp_path / "x.safetensors")["t"].shape == (30, 40)


def test_numbers_of_a_torch_file_stay_in_the_file(tmp_path):
    torch.save({"a": torch.arange(5.0), "b": torch.ones(2**24)}, tmp_path / "x.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    state = load_state_dict(tmp_path / "x.pt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**14  # kB: less than b's 64 MB
    assert state["a"].tolist() == [0, 1, 2, 3, 4] and bool((state["b"] == 1).all())


def test_a_flipped_bit_in_a_torch_file_is_found(tmp_path):
    torch.save({"a": torch.arange(100.0)}, tmp_path / "x.pt")
    content = bytearray((tmp_path / "x.pt").read_bytes())
    content[content.index(torch.arange(100.0).numpy().tobytes()) + 50] ^= 1
    (tmp_path / "x.pt").write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"checksum of .*data/0 is wrong"):
        load_state_dict(tmp_path / "x.pt")
