"""tinypython: valid programs that follow their own names, idioms often enough, the same bytes from the same seed."""

from __future__ import annotations

import ast
import builtins
import hashlib
import random
import re
from collections.abc import Iterator
from itertools import islice

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus import CorpusConfig, open_corpus
from sparsegpt2.text.corpus.tinypython import document

COUNT = 1000
DIGEST = "5198e98c5a9457996680ead5bb026761e2120613abc0875e707b381af7c84dda"
"""sha256 of the first 200 programs of seed 0. It changes with the generator, and with nothing else."""

PER_THOUSAND = {
    "single_double_quote, '": (r"\('[^'\n]*'\) ", 80),
    'single_double_quote, "': (r'\("[^"\n]*"\) ', 80),
    "final_kwarg, with defaults": (r"def .*=None, \w+=None\):", 100),
    "final_kwarg, without": (r"def [^=\n]*, \w+\):", 300),
    "set_or_string, set": (r"= set\(\)\n(?:.*\n)*?.*\.add\(", 150),
    "set_or_string, string": (r"= (?:''|\"\")\n(?:.*\n)*? +\w+ \+= ", 150),
    "set_or_string_fixedvarname, set": (r"\bcurrent = set\(\)\n", 40),
    "set_or_string_fixedvarname, string": (r"\bcurrent = (?:''|\"\")\n", 40),
    "class_init": (r"self\.(\w+) = \1\n", 300),
    "with_as, with": (r"with open\(.*\) as ", 150),
    "with_as, assignment": (r"\w+ = open\(.*\)\n", 100),
    "bracket_brace, dict": (r"= \{\n(?: +.*: .*,\n)+", 100),
    "bracket_brace, list": (r"= \[\n(?: +.*,\n)+", 100),
    "with_open, r": (r"open\(.*, ['\"]r['\"]\)", 100),
    "with_open, w": (r"open\(.*, ['\"]w['\"]\)", 100),
    "bracket_counting, 2": (r"\]\]\n", 150),
    "bracket_counting, 1": (r"[^\]]\]\n", 500),
    "for_while, for": (r"\bfor \w+ in ", 500),
    "for_while, while": (r"\bwhile \w+:\n", 100),
    "else_elif, else": (r"\belse:\n", 300),
    "else_elif, elif": (r"\belif ", 100),
    "fstring_brace, f": (r"print\(f['\"].* \{", 400),
    "fstring_brace, plain": (r"print\(['\"]\w+: [^{}]*\)", 150),
    "if_ternary, if": (r"\bif \w+:\n", 200),
    "if_ternary, ternary": (r"= .* if .* else ", 250),
    "var_swap": (r"(\w+), (\w+) = \2, \1\n", 250),
    "indent_for": (r"for .*:\n {8}", 300),
    "lambda_func": (r"lambda \w+:", 100),
    "if_equals": (r"\bif \w+ == ", 200),
    "enumerate_range, enumerate": (r"for \w+, \w+ in enumerate", 200),
    "enumerate_range, range": (r"for \w+ in range", 200),
    "var_if, if": (r"if [\w.]+ == True:\n", 50),
    "var_if, assignment": (r" = [\w.]+ == True\n", 50),
    "while_return_true, while": (r"while True:\n", 50),
    "while_return_true, return": (r"return True\n", 200),
}
"""Idioms behind the tasks, and in how many of a thousand programs each must occur at least."""


@pytest.fixture(scope="module")
def programs() -> list[str]:
    return list(islice(open_corpus(CorpusConfig()).documents(seed=3), COUNT))


@pytest.fixture(scope="module")
def trees(programs) -> list[ast.Module]:
    return [ast.parse(program) for program in programs]  # a program that does not parse fails here


def test_every_program_parses_and_is_tidy(programs, trees):
    assert len(trees) == COUNT
    for program in programs:
        assert program.endswith("\n") and not program.endswith("\n\n")
        assert not re.search(r"[ \t]\n|\t|\r", program)


def test_programs_are_short_and_different(programs):
    lines = sorted(program.count("\n") for program in programs)
    assert lines[0] >= 4
    assert lines[-1] <= 120
    assert lines[COUNT // 10] >= 10 and lines[COUNT * 9 // 10] <= 60
    assert len(set(programs)) == COUNT


@pytest.mark.parametrize("idiom", PER_THOUSAND)
def test_idioms_occur_often(programs, idiom):
    pattern, least = PER_THOUSAND[idiom]
    found = sum(bool(re.search(pattern, program)) for program in programs)
    assert found >= least * COUNT / 1000


def test_every_name_is_defined(trees):
    for tree in trees:
        known = {*dir(builtins), "__name__"}
        used = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else known).add(node.id)
            elif isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
        assert used <= known


def bodies(tree: ast.Module) -> Iterator[ast.Module]:
    """The statements of each function, and those outside functions and classes."""
    yield ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield ast.Module(node.body, [])


def test_sets_are_added_to_and_strings_appended_to(trees):
    uses = 0
    for body in (body for tree in trees for body in bodies(tree)):
        started: dict[str, set[str]] = {}
        for node in ast.walk(body):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = ast.unparse(node.value)
                if value in ("set()", "''", "[]", "{}"):
                    started.setdefault(node.targets[0].id, set()).add(value)
        for node in ast.walk(body):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in started:
                assert started[node.target.id] == {"''"}
                uses += 1
            elif isinstance(node, ast.Attribute) and node.attr == "add" and isinstance(node.value, ast.Name):
                assert started[node.value.id] == {"set()"}
                uses += 1
    assert uses > COUNT / 2


def test_defaults_are_never_followed_by_a_parameter_without(programs):
    definitions = [line for program in programs for line in program.splitlines() if "def " in line and "=" in line]
    assert len(definitions) > COUNT / 10
    assert not any(re.search(r"=\w+, \w+[,)]", line) for line in definitions)


def test_files_are_opened_as_their_names_say(programs):
    opened = re.findall(r"open\(['\"](\w+)\.\w+['\"], ['\"](\w)['\"]\)", "".join(programs))
    by_mode = {mode: {name for name, used in opened if used == mode} for mode in "rw"}
    assert "input" in by_mode["r"] and "output" in by_mode["w"]
    assert not by_mode["r"] & by_mode["w"]


def test_braces_stand_in_f_strings_only(programs):
    text = "".join(programs)
    assert len(re.findall(r"print\(f['\"].*\{", text)) > COUNT / 2
    assert not re.search(r"print\(['\"][^'\"]*[{}]", text)


def test_both_quotes_are_common(programs):
    text = "".join(programs)
    assert 0.5 < text.count("'") / text.count('"') < 2


def test_the_same_seed_gives_the_same_bytes():
    text = "".join(document(0, index) for index in range(200))
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_a_program_does_not_depend_on_those_before_it(programs):
    assert document(3, 700) == programs[700]
    assert document(3, 700, random.Random(5)) == programs[700]
    assert document(4, 700) != programs[700]


def test_a_negative_seed_is_told():
    with pytest.raises(UserError, match="must not be negative"):
        next(open_corpus(CorpusConfig()).documents(-1))
