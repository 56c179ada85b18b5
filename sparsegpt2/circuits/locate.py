"""Which model a circuit file belongs to, wherever the two have been moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.config import GPTConfig, from_dict
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.locate import CONFIG, candidates, hub, model_directory, reference, zoo
from sparsegpt2.model.checkpoint import load_model, model_fingerprint
from sparsegpt2.model.sites import node_sites
from sparsegpt2.text.tokenizer import Tokenizer

MODEL, FINGERPRINT = "model", "model_fingerprint"
"""Keys of a circuit's info: where its model lay, from the circuit's own folder, and which one it was."""


class Informed(Protocol):
    """A circuit of any kind: what is known of it."""

    @property
    def info(self) -> dict[str, Any]: ...


def name_model(circuit: Informed, path: str | Path, file: str | Path, fingerprint: str) -> None:
    """Note in a circuit that will be written to `file` that its model is the one at `path`."""
    circuit.info[MODEL] = reference(path, file)
    circuit.info[FINGERPRINT] = fingerprint


def circuit_model(circuit: Circuit, file: str | Path, given: str = "") -> Path:
    """The directory of a circuit's model: the one given, else the one that its file names and that fits it.

    The named one is looked for from the file's folder and its parents, then from the working directory. A model of
    another shape, or other weights than the circuit was found in, is passed over. `UserError` when none is left.
    """
    if given:
        return model_directory(given)
    named = circuit.info.get(MODEL)
    if not named or not isinstance(named, str):
        raise UserError(f"{file} does not name its model; give it with --model")
    if named.startswith(hub.PREFIX):
        raise UserError(f"{file} names the model {named}, but only you can have it fetched: give --model {named}")
    problem = "is not there"
    for place in [zoo.directory(named)] if named.startswith(zoo.PREFIX) else candidates(named, file):
        try:
            directory = model_directory(place)
            problem = _misfit(circuit, directory)
        except UserError:  # a folder of that name that holds no model, or a broken one
            continue
        if not problem:
            return directory
    raise UserError(f"the model {named} that {file} names {problem}; give it with --model")


def _misfit(circuit: Circuit, directory: Path) -> str:
    """Why the model in `directory` is not the circuit's; empty when it is, as far as the circuit can tell."""
    header = read_json(directory / CONFIG, "model config")
    values = header.get("model") if isinstance(header, dict) else None
    if not isinstance(values, dict):
        return f"is no model where it was found ({directory})"
    config = from_dict(GPTConfig, values, str(directory / CONFIG))
    widths = {site: len(kept) for site, kept in circuit.nodes.items()}
    if config.n_layer > len(widths) or node_sites(config) != widths:
        return f"has another shape than the circuit where it was found ({directory})"
    wanted = circuit.info.get(FINGERPRINT)
    if wanted and wanted != model_fingerprint(load_model(directory), Tokenizer.load(directory)):
        return f"has other weights now than when the circuit was found ({directory})"
    return ""
