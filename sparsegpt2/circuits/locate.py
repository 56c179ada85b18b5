"""Find the model that a circuit file belongs to, even after both were moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.config import GPTConfig, from_dict
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.locate import CONFIG, candidates, hub, model_directory, reference, zoo
from sparsegpt2.model.checkpoint import load_model, model_fingerprint
from sparsegpt2.model.sites import node_sites
from sparsegpt2.text.tokenizer import Tokenizer


class Notable(Protocol):
    """A circuit of any kind, which can return a copy of itself with more fields in its `info`."""

    def noting(self, **known: Any) -> Self: ...


Noted = TypeVar("Noted", bound=Notable)


def name_model(circuit: Noted, path: str | Path, file: str | Path, fingerprint: str) -> Noted:
    """A copy of the circuit, with a note in its `info` that its model is the one at `path`.

    file: where the circuit will be written. fingerprint: the model's fingerprint.
    """
    return circuit.noting(model=reference(path, file), model_fingerprint=fingerprint)


def circuit_model(circuit: Circuit, file: str | Path, given: str = "") -> Path:
    """The folder of a circuit's model: `given` if there is one, else the folder that the circuit's file names.

    A model of the zoo is looked for in the zoo's folder. Any other folder is looked for relative to the file's folder
    and to its parents, then relative to the working directory. A model is skipped if its shape or its weights differ
    from those of the model in which the circuit was found. `UserError` if no model fits, or if the file names a model
    that would have to be downloaded.
    """
    if given:
        return model_directory(given)
    named = circuit.info.model
    if not named:
        raise UserError(f"{file} does not name its model; give it with --model")
    if named.startswith(hub.PREFIX):
        raise UserError(
            f"{file} names the model {named}; a file may not start a download, so name the model yourself: "
            f"--model {named}"
        )
    problem = "does not exist"
    for place in [zoo.directory(named)] if named.startswith(zoo.PREFIX) else candidates(named, file):
        try:
            directory = model_directory(place)
            problem = _misfit(circuit, directory)
        except UserError:  # the folder holds no model, or a damaged one
            continue
        if not problem:
            return directory
    raise UserError(f"the model {named} that {file} names {problem}; give it with --model")


def _misfit(circuit: Circuit, directory: Path) -> str:
    """Why the model in `directory` cannot be the circuit's, as the end of a sentence; empty if it can be."""
    header = read_json(directory / CONFIG, "model config")
    values = header.get("model") if isinstance(header, dict) else None
    if not isinstance(values, dict):
        return f"is not a model ({directory})"
    config = from_dict(GPTConfig, values, str(directory / CONFIG))
    widths = {site: len(kept) for site, kept in circuit.nodes.items()}
    if config.n_layer > len(widths) or node_sites(config) != widths:
        return f"has another shape than the circuit's model ({directory})"
    wanted = circuit.info.model_fingerprint
    if wanted and wanted != model_fingerprint(load_model(directory), Tokenizer.load(directory)):
        return f"has other weights than the circuit's model ({directory})"
    return ""
