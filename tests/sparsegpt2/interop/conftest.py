"""Published checkpoints made up from the description of the format, their formulas, and a local stand-in of the hub.

`published_logits` uses nothing of our forward: it is plain torch in float64, written from the published definitions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

SMALL: dict[str, Any] = {"block_size": 10, "vocab_size": 40, "n_layer": 2, "n_head": 4, "d_model": 16}
DEFAULTS: dict[str, Any] = {
    "d_head": None,
    "d_mlp": None,
    "bias": True,
    "ln_bias": True,
    "rms_norm": False,
    "residual_activation_type": "identity",
    "activation_type": "gelu",
    "afrac": None,
    "afrac_loctypes": "attn_in,attn_out,mlp_in,mlp_out",
    "tied_unembed": True,
    "enable_bigram_table": False,
    "d_pos_emb": None,
    "sink": False,
}


def random_state(settings: dict[str, Any], *, zero_positions: bool = False) -> dict[str, Tensor]:
    """A state dict of the published shapes, all values random (norm weights around 1)."""
    g = torch.Generator().manual_seed(0)
    s = SimpleNamespace(**(DEFAULTS | settings))
    d, p = s.d_model, s.d_pos_emb or 0
    a, m = s.n_head * (s.d_head or d // s.n_head), s.d_mlp or 4 * d

    def normal(*shape: int) -> Tensor:
        return 0.5 * torch.randn(shape, generator=g)

    state = {"transformer.wte.weight": normal(s.vocab_size, d), "transformer.wpe.weight": normal(s.block_size, p or d)}
    if zero_positions:
        state["transformer.wpe.weight"].zero_()

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + normal(width)
        if s.ln_bias and not s.rms_norm:
            state[f"{name}.bias"] = normal(width)

    def linear(name: str, out: int, into: int) -> None:
        state[f"{name}.weight"] = normal(out, into)
        if s.bias:
            state[f"{name}.bias"] = normal(out)

    for i in range(s.n_layer):
        h = f"transformer.h.{i}"
        for number in (1, 2):
            norm(f"{h}.ln_{number}", d)
            if p:
                norm(f"{h}.ln_p{number}", p)
        linear(f"{h}.attn.c_attn", 3 * a, d + p)
        linear(f"{h}.attn.c_proj", d, a)
        if s.sink:
            state[f"{h}.attn.attn_imp.sink_logit"] = normal(s.n_head)
        linear(f"{h}.mlp.c_fc", m, d + p)
        linear(f"{h}.mlp.c_proj", d, m)
    norm("transformer.ln_f", d)
    tied = state["transformer.wte.weight"]
    state["lm_head.weight"] = tied.clone() if s.tied_unembed else normal(s.vocab_size, d)
    state["final_logits_bias"] = torch.zeros(s.vocab_size)
    if s.enable_bigram_table:
        state["bigram_table"] = normal(s.vocab_size, s.vocab_size)
    return state


def published_logits(settings: dict[str, Any], state: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Logits [B, T, V] float64 of the published definition, one operation after the other."""
    s = SimpleNamespace(**(DEFAULTS | settings))
    w = {name: tensor.double() for name, tensor in state.items()}
    d_head = s.d_head or s.d_model // s.n_head
    length = tokens.shape[1]

    def sparse(x: Tensor, location: str) -> Tensor:
        if s.afrac is None or location not in s.afrac_loctypes.split(","):
            return x
        chosen = x.abs().topk(int(s.afrac * x.shape[-1]), dim=-1).indices
        return torch.zeros_like(x).scatter(-1, chosen, x.gather(-1, chosen))

    def norm(x: Tensor, name: str) -> Tensor:
        if s.rms_norm:
            eps = torch.finfo(torch.float32).eps
            return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * w[f"{name}.weight"]
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return unit * w[f"{name}.weight"] + w.get(f"{name}.bias", torch.zeros(()))

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", torch.zeros(()))

    def entering(x: Tensor, h: str, number: int, location: str) -> Tensor:
        x = norm(x, f"{h}.ln_{number}")
        if s.d_pos_emb:
            own = norm(w["transformer.wpe.weight"][:length], f"{h}.ln_p{number}")
            x = torch.cat([x, own.expand(len(tokens), -1, -1)], dim=-1)
        return sparse(x, location)

    def attention(x: Tensor, h: str) -> Tensor:
        width = s.n_head * d_head
        q, k, v = linear(entering(x, h, 1, "attn_in"), f"{h}.attn.c_attn").split(width, dim=-1)
        q, k, v = sparse(q, "attn_q"), sparse(k, "attn_k"), sparse(v, "attn_v")
        out = torch.zeros(*x.shape[:2], width, dtype=torch.float64)
        for head in range(s.n_head):
            own = slice(head * d_head, (head + 1) * d_head)
            for t in range(length):
                scores = (k[:, : t + 1, own] @ q[:, t, own, None])[..., 0] / math.sqrt(d_head)  # [B, t + 1]
                weights = scores.exp()
                total = weights.sum(-1, keepdim=True)
                if s.sink:
                    total = total + w[f"{h}.attn.attn_imp.sink_logit"][head].exp()
                out[:, t, own] = ((weights / total)[:, None] @ v[:, : t + 1, own])[:, 0]
        return sparse(linear(out, f"{h}.attn.c_proj"), "attn_out")

    def mlp(x: Tensor, h: str) -> Tensor:
        x = linear(entering(x, h, 2, "mlp_in"), f"{h}.mlp.c_fc")
        x = x.clamp(min=0) if s.activation_type == "relu" else x * (1 + torch.erf(x / math.sqrt(2))) / 2
        return sparse(linear(sparse(x, "mlp_neuron"), f"{h}.mlp.c_proj"), "mlp_out")

    x = F.embedding(tokens, w["transformer.wte.weight"])
    if not s.d_pos_emb:
        x = x + w["transformer.wpe.weight"][:length]
    for i in range(s.n_layer):
        h = f"transformer.h.{i}"
        for delta, location in ((attention, "resid_post_attn"), (mlp, "resid_post_mlp")):
            x = x + delta(x, h)
            if s.residual_activation_type == "relu":
                x = x.clamp(min=0)
            x = sparse(x, location)
    logits = norm(x, "transformer.ln_f") @ w["lm_head.weight"].T + w.get("final_logits_bias", torch.zeros(()))
    return logits + w["bigram_table"][tokens] if s.enable_bigram_table else logits


def write_published(directory: Path, settings: dict[str, Any], state: dict[str, Tensor]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "beeg_config.json").write_text(json.dumps(settings))
    torch.save(state, directory / "final_model.pt")
    return directory


@pytest.fixture
def published() -> SimpleNamespace:
    """The helpers above: made up checkpoints and the formulas."""
    return SimpleNamespace(
        small=SMALL, random_state=random_state, logits=published_logits, write=write_published, defaults=DEFAULTS
    )


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as pushing and fetching a model use; repositories in memory."""

    protocol_version = "HTTP/1.1"
    repositories: dict[str, dict[str, bytes]]
    messages: list[str]

    def log_message(self, *_):
        pass

    def answer(self, value, status=200, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def sha(self, name):
        files = self.repositories[name]
        return hashlib.sha1(b"".join(key.encode() + files[key] for key in sorted(files))).hexdigest()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.split("?")[0].strip("/").split("/")
        if self.path.startswith("/api/repos/create"):
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if name.startswith("forbidden/"):
                return self.answer({"error": "no"}, 403)
            self.repositories.setdefault(name, {})
            return self.answer({"url": f"{self.address()}/{name}", "id": name})
        if self.path.startswith("/api/validate-yaml"):
            return self.answer({"errors": [], "warnings": []})
        name, action = "/".join(parts[2:4]), parts[4]
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        for line in body.decode().strip().split("\n"):
            entry = json.loads(line)
            if entry["key"] == "header":
                self.messages.append(entry["value"]["summary"])
            if entry["key"] == "file":
                self.repositories[name][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        sha = self.sha(name)
        self.answer({"commitUrl": f"{self.address()}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        inside = parts[2:] if parts[0] == "api" else parts
        name = "/".join(inside[:2])
        if name not in self.repositories:
            return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        files, sha = self.repositories[name], self.sha(name)
        if parts[0] == "api":
            if inside[3:] not in ([], ["main"], [sha]) and inside[2:3] == ["revision"]:
                return self.answer({"error": "Revision not found"}, 404, X_Error_Code="RevisionNotFound")
            if inside[2:3] == ["tree"]:
                tree = [{"type": "file", "path": f, "size": len(d), "oid": f} for f, d in files.items()]
                return self.answer(tree)
            siblings = [{"rfilename": file} for file in files]
            return self.answer({"id": name, "modelId": name, "sha": sha, "siblings": siblings, "tags": []})
        data = files["/".join(inside[4:])]
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        self.answer(data, ETag=etag, X_Repo_Commit=sha, Content_Type="application/octet-stream")

    do_HEAD = do_GET

    def address(self):
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A hub of our own on this machine, and a fresh cache: (repositories, commit messages)."""
    from huggingface_hub import constants

    handler = type("OneHub", (Hub,), {"repositories": {}, "messages": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    yield SimpleNamespace(repositories=handler.repositories, messages=handler.messages)
    server.shutdown()
    server.server_close()
    thread.join()
