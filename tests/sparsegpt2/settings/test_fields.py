"""Every field of every settings object is checked against its annotation, however the object is made."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from eval_tasks.bench.config import BenchConfig
from sparsegpt2 import GPTConfig, SparsityConfig, UserError
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.components.config import DiscoverConfig
from sparsegpt2.config import OptimizerConfig, from_dict, to_dict
from sparsegpt2.evidence.config import EvidenceConfig
from sparsegpt2.report.config import FrontierConfig
from sparsegpt2.text.config import DataConfig
from sparsegpt2.text.corpus.base import CorpusConfig
from sparsegpt2.viewer.config import ViewConfig
from train.config import TrainConfig

NEEDED = {TrainConfig: {"model": GPTConfig()}}
KINDS = [GPTConfig, SparsityConfig, OptimizerConfig, DataConfig, CorpusConfig, TrainConfig, PruneConfig, BenchConfig]
KINDS += [EvidenceConfig, FrontierConfig, ViewConfig, DiscoverConfig]


def wrong_values(kind: Any) -> list[Any]:
    """Values of every type that the annotation `kind` excludes."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return [one for one in wrong_values(arguments[0]) if one is not None]
    if origin is Literal:
        return ["nonsense", 1, True, None, [arguments[0]]]
    if origin in (tuple, list):
        inside = next(one for one in wrong_values(arguments[0]) if one is not None)
        return [None, 3, "text", [inside], {"a": 1}]
    if origin is dict:
        return [None, [], {1: 2}]
    return {
        bool: [0, 1, "true", None, []],
        int: [1.0, 1.5, True, "1", None, [1], math.nan, 2**63, {}],
        float: [True, "1.5", None, [1.5], math.nan, math.inf, {}],
        str: [1, True, None, ["a"]],
    }.get(kind, [{}, None, 1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_field_takes_a_value_of_another_type(kind):
    needed, hints = NEEDED.get(kind, {}), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        for value in wrong_values(hints[field.name]):
            given = {**needed, field.name: value}
            with pytest.raises(UserError, match=field.name) as made:
                kind(**given)
            assert isinstance(made.value, ValueError) and "\n" not in str(made.value)
            with pytest.raises(UserError, match=field.name):
                from_dict(kind, given, "a file")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_defaults_pass_and_stay_what_they_are(kind):
    config = kind(**NEEDED.get(kind, {}))
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING and (kind, field.name) not in FILLED:
            assert repr(getattr(config, field.name)) == repr(field.default)


FILLED = {(GPTConfig, "n_head"), (GPTConfig, "d_mlp")}


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (GPTConfig, {"norm": "rmsnorm"}, "norm needs rms, layer or none, not 'rmsnorm'; did you mean rms?"),
        (GPTConfig, {"activation": "swish"}, "activation needs gelu, gelu_tanh or relu, not 'swish'"),
        (GPTConfig, {"n_head": -1}, "n_head must be at least 1, or 0 to fill the width, got -1"),
        (GPTConfig, {"d_model": -64}, "d_model must be at least 1, got -64"),
        (GPTConfig, {"n_layer": 2.0}, "n_layer needs a whole number, not 2.0"),
        (GPTConfig, {"vocab_size": 2**63}, f"vocab_size needs a whole number below 2**63, not {2**63}"),
        (GPTConfig, {"norm_eps": -1e-5}, "norm_eps must be 0 or more, got -1e-05"),
        (GPTConfig, {"init_std": math.nan}, "init_std needs a finite number, not nan"),
        (GPTConfig, {"activation_places": "attn.q"}, "activation_places needs a list of names, not 'attn.q'"),
        (OptimizerConfig, {"gradient_rms": "on"}, "gradient_rms needs normalize, clip or off, not 'on'"),
        (OptimizerConfig, {"betas": (0.9,)}, "betas needs a list of 2 numbers, not (0.9,)"),
        (TrainConfig, {"model": {}}, "model needs an object GPTConfig(...), not a group of settings"),
        (TrainConfig, {"model": GPTConfig(), "dtype": "float16"}, "dtype needs bfloat16 or float32, not 'float16'"),
    ],
)
def test_sentences(kind, given, sentence):
    with pytest.raises(UserError) as error:
        kind(**given)
    assert str(error.value).startswith(sentence)


def test_lists_and_numbers_of_numpy_become_plain_values():
    config = GPTConfig(n_layer=np.int64(3), norm_eps=np.float64(1e-5), activation_places=["attn.q"])
    assert config == GPTConfig(n_layer=3, norm_eps=1e-5, activation_places=("attn.q",)) and hash(config)
    assert type(config.n_layer) is int and type(config.norm_eps) is float
    assert OptimizerConfig(betas=[0.9, 0.95]) == OptimizerConfig()


def test_a_whole_number_for_a_number_stays_one():
    """Rows and models are identified by hashes of the JSON of their settings."""
    assert repr(to_dict(GPTConfig(activation_density=1))["activation_density"]) == "1"


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_dictionary_is_one_sentence(values):
    with pytest.raises(UserError, match=r"config\.json needs settings by name for a GPTConfig"):
        from_dict(GPTConfig, values, "config.json")
