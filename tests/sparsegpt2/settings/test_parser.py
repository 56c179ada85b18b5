"""The grammar of every command: flags, words without a flag, YAML files, and what is said of a mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.settings.help import field_docs, full_help, short_help
from sparsegpt2.settings.parser import HelpAsked


@dataclass(frozen=True, kw_only=True)
class Inner:
    """The inner settings."""

    width: int = 64
    """Channels (paper: 2048)."""
    sink: bool = True
    """Whether there is one."""


@dataclass(frozen=True, kw_only=True)
class Outer:
    """The outer settings."""

    inner: Inner
    """Nested."""
    seeds: tuple[int, ...] = (0,)
    """Seeds, which
    go on in a second line."""
    kind: Literal["one", "two"] = "one"
    """Which."""
    evidence: bool = False
    """Yes or no."""
    slow: bool = field(default=True, metadata={"alias": "dear"})
    """Everything."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UserError("seeds needs at least one seed")


def parser() -> Parser:
    made = Parser("try MODEL... --out DIR", "Try it.")
    made.positional("models", "Models.", metavar="MODEL", many=True)
    made.add_settings(Outer)
    made.add_settings(Inner, "prune", skip=("sink",))
    made.add("out", str, help="Where.", metavar="DIR", required=True)
    made.alias(seed="seeds")
    made.front("Most used", out="Where it goes.", seeds="Seeds of all.")
    return made


def parsed(*arguments: str):
    return parser().parse([*arguments, "--out", "o"])


def test_words_stand_before_and_between_flags():
    for arguments in (["a", "b", "--seeds", "1,2"], ["--seeds", "1,2", "a", "b"], ["a", "--seeds=1,2", "b"]):
        found = parsed(*arguments)
        assert found.models == ["a", "b"] and found.seeds == (1, 2) and found.out == "o"


def test_yes_or_no_is_a_flag():
    for arguments, wanted in [
        ([], False),
        (["--evidence"], True),
        (["--evidence", "true"], True),
        (["--evidence", "false"], False),
        (["--evidence=false"], False),
        (["--evidence", "--no-evidence"], False),
        (["--no_evidence"], False),
    ]:
        found = parsed("a", *arguments)
        assert found.evidence is wanted and found.models == ["a"]
    found = parsed("--evidence", "a")
    assert found.evidence is True and found.models == ["a"]
    assert parsed("a", "--no-inner.sink").inner == Inner(sink=False)


def test_names_with_dashes_aliases_and_older_names():
    assert parsed("a", "--seed", "3").seeds == (3,)
    assert parsed("a", "--no-dear").slow is False
    assert parsed("a", "--inner.width", "8").inner.width == 8
    assert parser().parse(["a", "--out", "o", "--inner", "{width: 9, sink: no}"]).inner == Inner(width=9, sink=False)


def test_later_files_over_earlier_ones_and_flags_over_all(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yml"
    one.write_text("inner: {width: 1, sink: false}\nseeds: [5]\nkind: two\nprune: {width: 3}\n")
    two.write_text("inner: {width: 2}\nout: there\nseeds: 6,7\n")
    found = parser().parse(["a", str(one), "--inner.width", "4", str(two)])
    assert found.models == ["a"] and found.out == "there" and found.seeds == (6, 7) and found.kind == "two"
    assert settings_from(found, Outer) == Outer(inner=Inner(width=4, sink=False), seeds=(6, 7), kind="two")
    assert found.prune == Inner(width=3)
    assert parser().parse(["--config", str(one), "a", "--out", "o"]).seeds == (5,)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "o"], "try needs a model: sparsegpt2 try MODEL... --out DIR"),
        (["a"], "try needs --out DIR: sparsegpt2 try MODEL... --out DIR"),
        (["a", "--out", ""], "try needs --out DIR: sparsegpt2 try MODEL... --out DIR"),
        (["a", "--out"], "--out needs a value"),
        (["a", "--out", "--seeds"], "--out needs a value"),
        (["a", "--sead", "1"], "try has no setting --sead; did you mean --seeds?"),
        (["a", "--widht", "1"], "try has no setting --widht; did you mean --prune.width?"),
        (["a", "--inner.widht", "1"], "try has no setting --inner.widht; did you mean --inner.width?"),
        (["a", "--zzz", "1"], "try has no setting --zzz; sparsegpt2 try --help-all lists them"),
        (["a", "-x"], "try has no setting -x; sparsegpt2 try --help-all lists them"),
        (["a", "--no-out"], "try has no setting --no-out; did you mean --out?"),
        (["a", "--prune.sink", "no"], "try has no setting --prune.sink; did you mean --inner.sink?"),
        (["a", "--out", "o", "--seeds", "x"], "--seeds needs whole numbers with commas between, such as 0,1, not 'x'"),
        (["a", "--out", "o", "--kind", "three"], "--kind needs one or two, not 'three'"),
        (["a", "--out", "o", "--inner", "3"], "--inner needs settings by name, such as {name: value}, not '3'"),
    ],
)
def test_a_mistake_on_the_command_line(arguments, sentence):
    with pytest.raises(UserError) as raised:
        parser().parse(arguments)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seedz: 1", "seedz in F is not a setting of try; did you mean seeds?"),
        ("inner: {widht: 1}", "inner.widht in F is not a setting of try; did you mean inner.width?"),
        ("inner:", "inner in F has no value; give one, or leave the line out"),
        ("seeds:", "seeds in F has no value; give one, or leave the line out"),
        ("inner: 3", "inner in F needs settings by name, such as {name: value}, not 3"),
        ("inner: {width: {a: b}}", "inner.width in F needs a whole number, not a group of settings"),
        ("seeds: [1.5]", "seeds in F needs whole numbers with commas between, such as 0,1, not [1.5]"),
        ("3: 4", "3 in F is not a setting of try"),
    ],
)
def test_a_mistake_in_a_file(tmp_path, text, sentence):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        parser().parse(["a", str(path), "--out", "o"])
    assert str(raised.value) == sentence.replace("in F", f"in {path}")


def test_one_word_too_many():
    single = Parser("one MODEL", "")
    single.positional("model", "A model.", alias="tokenizer")
    assert single.parse(["m"]).model == "m" and single.parse(["--tokenizer", "m"]).model == "m"
    with pytest.raises(UserError, match="one cannot use 'n' as well: sparsegpt2 one MODEL"):
        single.parse(["m", "n"])
    none = Parser("none", "")
    with pytest.raises(UserError, match="none takes only flags, not 'm': sparsegpt2 none"):
        none.parse(["m"])


def test_help_is_asked_for_before_anything_is_checked():
    for flag, everything in (("--help", False), ("-h", False), ("--help-all", True)):
        with pytest.raises(HelpAsked) as asked:
            parser().parse(["--nonsense", flag])
        assert asked.value.all is everything


def test_short_help_shows_the_front_and_counts_the_rest():
    text = short_help(parser())
    assert "Most used\n  --out DIR" in text and "Where it goes. (required)" in text and "Seeds of all. [0]" in text
    assert "--kind" not in text and "--help-all shows 6 more settings" in text


def test_full_help_shows_every_setting_with_its_source():
    text = full_help(parser())
    assert all(f"--{name}" in text for name in parser().options)
    assert "Channels (paper: 2048). [64]" in text and "inner: The inner settings." in text
    assert "[yes; --no-slow]" in text
    assert field_docs(Outer)["seeds"] == "Seeds, which go on in a second line."


def test_what_is_shown_must_exist():
    made = parser()
    made.front("Wrong", nothing="There is no such setting.")
    with pytest.raises(KeyError):
        short_help(made)
