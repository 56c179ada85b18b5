"""The template language, word pools, the registry, and what goes wrong with tasks and tokenizers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eval_tasks
from eval_tasks.base import PairTask, PosedTask, Unposable
from eval_tasks.template import Flaw, Template, section, split_templates
from eval_tasks.words import DEAL, common_pools, deal, is_divided
from sparsegpt2.circuits.task import SPLITS
from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.tinypython import document
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.train_tokenizer import train_tokenizer

WORDS = {"name": ["total"], "thing": ["user"], "number": ["3", "4"], "quote": ["'"]}

OWN_TASK = '''
from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` or ` in` after `while x` or `for x`",
    answers=(":\\n", " in"),
    words="""
[metal]
iron copper tin gold zinc lead nickel silver
""",
    templates="""
...
def show_$metal(${metal}s):
    {{while|for}} $metal{{answer}}{{| ${metal}s:}}
        print($metal)
""",
)
'''


def define(**changes: object) -> PairTask:
    settings: dict[str, object] = {
        "description": "d",
        "answers": (":\n", " in"),
        "templates": "{{while|for}} $name{{answer}}{{| f:}}",
    }
    return PairTask(**(settings | changes))  # type: ignore[arg-type]


# --- Templates ------------------------------------------------------------------------------------------------------


def render(text: str, answers: tuple[str | None, str | None] = ("a", "b"), seed: int = 0) -> list[tuple[str, str]]:
    return [(side.prompt, side.rest) for side in Template(text, answers).render(WORDS, random.Random(seed))]


def test_slots_and_choices() -> None:
    assert render("{{for|while}} ${thing}s_$name{{answer}}{{ in|}} $name") == [
        ("for users_total", " in total"),
        ("while users_total", " total"),
    ]


def test_brackets_may_be_chosen() -> None:
    assert [prompt for prompt, _ in render("$name = {{{|[}}$number{{answer}}")] in (
        ["total = {3", "total = [3"],
        ["total = {4", "total = [4"],
    )


def test_slots_of_a_section_are_different_words() -> None:
    for seed in range(10):
        (prompt, _), _ = render("{{a|b}} $number $number2{{answer}}", seed=seed)
        assert sorted(prompt.split()[1:]) == ["3", "4"]


def test_too_few_words_is_a_flaw() -> None:
    with pytest.raises(Flaw, match=r"\[name\] has too few words for \$name2"):
        render("{{a|b}} $name $name2{{answer}}")


def test_an_answer_that_ends_the_line_takes_the_line_end() -> None:
    assert render("{{a|b}}{{answer}}\n    x", (":\n", " in")) == [("a", "    x"), ("b", "\n    x")]


def test_gaps_are_filled_alike_on_both_sides_at_their_indentation() -> None:
    words = {name: splits["train"] for name, splits in common_pools().items()}
    template = Template("...\ndef f():\n    ...\n    {{for|while}} x{{answer}}", ("a", "b"))
    filled, starts = set(), set()
    for seed in range(60):
        left, right = template.render(words, random.Random(seed))
        assert left.prompt.replace("for x", "") == right.prompt.replace("while x", "")
        start, end = left.prompt.split("def f():\n")
        lines = end.splitlines()[:-1]
        assert all(line.startswith("    ") and not line.startswith("     " * 2) for line in lines)
        assert start == "" or start.endswith("\n\n\n")
        filled.add(bool(lines))
        starts.add(bool(start))
    assert filled == starts == {True, False}


@given(st.integers(0, 2**32))
def test_snippets_are_python(seed: int) -> None:
    words = {name: splits["test"] for name, splits in common_pools().items()}
    template = Template("...\nif {{a|b}}:\n    ...\n    pass{{answer}}", ("a", "b"))
    compile(template.render(words, random.Random(seed))[0].prompt, "snippet", "exec")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{{a|b}} $name", "must contain {{answer}} once"),
        ("{{a|b}}{{answer}}{{answer}}", "not 2 times"),
        ("{{a}} $name{{answer}}", "starts neither a slot"),
        ("cost $1 {{a|b}}{{answer}}", "starts neither a slot"),
        ("{{a\n...\n|b\n}} x{{answer}}", "inside a choice"),
    ],
)
def test_broken_templates(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Template(text, ("a", "b"))


def test_templates_are_parted_by_rules() -> None:
    assert split_templates("\nx = 1\n---\n    y\n\nz\n") == ["x = 1", "    y\n\nz"]


def test_section_of_a_slot() -> None:
    assert (section("name"), section("name12")) == ("name", "name")


# --- Words ----------------------------------------------------------------------------------------------------------


def test_words_are_dealt_in_turn() -> None:
    pools = deal("[a]\nx0 x1 x2 x3\nx4\n# no word\n[b everywhere]\ny z\n")
    assert pools["a"] == {"train": ("x0", "x3", "x4"), "validation": ("x1",), "test": ("x2",)}
    assert pools["b"] == dict.fromkeys(SPLITS, ("y", "z"))
    assert is_divided(pools["a"]) and not is_divided(pools["b"])
    assert set(DEAL) == set(SPLITS)


def test_a_word_is_in_one_section() -> None:
    with pytest.raises(UserError, match=r"'x' is in section \[b\] and in \[a\]"):
        deal("[a]\nx\n[b]\nx\n")
    with pytest.raises(UserError, match=r"in \[name\]"):
        deal("[own]\ntotal\n", common_pools())


# --- Definitions and files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [(":",), (None, None), ":", ("a", "b", "c")])
def test_answers_must_be_two(answers: object) -> None:
    with pytest.raises(UserError, match="answers must be two texts"):
        define(answers=answers)


def test_words_from_everywhere_are_those_of_every_split_and_the_rest_is_not(tokenizer: Tokenizer) -> None:
    task = PosedTask("copies", define(everywhere=("name",), templates="{{while|for}} $name.$flag{{answer}}"), tokenizer)
    drawn = {split: {pair.left.prompt.split()[1] for pair in task.pairs(split, 200, seed=0)} for split in SPLITS}
    names = {split: {prompt.split(".")[0] for prompt in prompts} for split, prompts in drawn.items()}
    assert names["train"] == names["test"] == {w for words in common_pools()["name"].values() for w in words}
    assert not drawn["train"] & drawn["test"]
    with pytest.raises(UserError, match=r"`everywhere` lists the slot \$nam, which is in none"):
        PosedTask("copies", define(everywhere=("nam",)), tokenizer)


def test_answers_must_differ() -> None:
    with pytest.raises(UserError, match="need different answers"):
        define(answers=(":", ":"))


@pytest.mark.parametrize(
    ("templates", "complaint"),
    [
        ("{{while|for}} $metal{{answer}}", r"template 1: there is no section \[metal\]"),
        ("{{while|for}} $name{{answer}}\n---\n{{while|for}} x", "template 2: a template must contain"),
        ("{{while|for}} x$number{{answer}}", "the splits would share prompts"),
    ],
)
def test_a_broken_definition_names_its_template(tokenizer: Tokenizer, templates: str, complaint: str) -> None:
    with pytest.raises(UserError, match=f"task 't', {complaint}|task 't', .*{complaint}"):
        PosedTask("t", define(templates=templates), tokenizer)


def test_an_unknown_name_lists_the_tasks(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"no task 'for_until'; there are bracket_brace, .*with_open"):
        eval_tasks.get_task("for_until", tokenizer)


def test_a_task_of_ones_own_is_one_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "metals.py"
    path.write_text(OWN_TASK)
    task = eval_tasks.get_task(str(path), tokenizer)
    assert task.name == "metals"
    assert len(task.batch("test", 4, seed=0)) == 8
    assert any(name in task.pairs("test", 1, 0)[0].left.prompt for name in ("tin", "nickel"))
    (entry,) = eval_tasks.describe(tokenizer, examples=2, names=[str(path)])
    assert entry.reason is None and len(entry.pairs) == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("x = 1\n", "line 1: this task file must define TASK, but does not"),
        ("\nTASK = 'while'\n", "line 2: TASK must be a PairTask, not str"),
        ("TASK = (\n", "line 1: SyntaxError: "),
        ("\n\nimport no_such_module\n", "line 3: ModuleNotFoundError: "),
        ("from eval_tasks.base import PairTask\nTASK = PairTask(description='d')\n", "line 2: TypeError: "),
    ],
)
def test_a_broken_task_file_is_one_sentence(tmp_path: Path, tokenizer: Tokenizer, content: str, complaint: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint) as error:
        eval_tasks.get_task(str(path), tokenizer)
    assert "\n" not in str(error.value)
    assert "mine.py" in str(error.value)


def test_a_missing_task_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"nothing\.py does not exist"):
        eval_tasks.get_task(str(tmp_path / "nothing.py"), tokenizer)


# --- Posing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"answers": (":\n", " in the")}, r"the answer ' in the' is \d+ tokens, not a single token"),
        ({"templates": "{{while not|for}} $name{{answer}}{{| f:}}"}, "prompts have 4 and 3 tokens"),
        ({"templates": "{{while|for}} $name{{answer}}{{|dex:}}"}, "is followed by the token ' index', not ' in'"),
        ({"templates": "{{while $name|for $name2}}{{answer}}{{| f:}}"}, "differ at 2 positions, not 1 to 1"),
        ({"templates": "$name {{and|or}}{{answer}}", "answers": (" not", " in")}, "don't end with the same tokens"),
        (
            {"templates": "{{while|for}} $name:{{answer}}", "answers": ("\n", " in")},
            "changes the tokens of the prompt",
        ),
        ({"templates": "{{while|for}} $name{{answer}}{{|:}}", "answers": (":", None)}, "the answer of the other side"),
        ({"templates": "{{while|for}} " + "$name + " * 200 + "$name{{answer}}{{| f:}}"}, "more than 256"),
        ({"single": ("($name($name",)}, "make .* a single token; 2 are needed"),
    ],
)
def test_each_rule_is_given_as_the_reason(tokenizer: Tokenizer, changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(Unposable, match=complaint) as error:
        PosedTask("t", define(**changes), tokenizer)
    assert str(error.value).startswith("task 't' can't be posed with this tokenizer: ")
    assert str(error.value).endswith(error.value.reason)


def test_templates_that_cannot_be_posed_are_left_out_up_to_half(tokenizer: Tokenizer) -> None:
    good, bad = "{{while|for}} $name{{answer}}{{| f:}}", "{{while not|for}} $name{{answer}}{{| f:}}"
    task = PosedTask("t", define(templates=f"{bad}\n---\n{good}"), tokenizer)
    assert all(pair.left.prompt.startswith("while ") for pair in task.pairs("train", 8, seed=0))
    with pytest.raises(Unposable, match="it fits 1 of 3 templates, and half are needed; in template 1, "):
        PosedTask("t", define(templates=f"{bad}\n---\n{good}\n---\n{bad}"), tokenizer)


def test_a_tokenizer_of_letters_can_pose_next_to_nothing_and_says_why() -> None:
    small = train_tokenizer((document(0, index) for index in range(100)), vocab_size=300)
    reasons = eval_tasks.available(small)
    assert reasons["class_init"] is not None and "a single token; 2 are needed" in reasons["class_init"]
    assert sum(reason is not None for reason in reasons.values()) >= 15
    with pytest.raises(UserError, match="task 'class_init' can't be posed with this tokenizer: of the "):
        eval_tasks.get_task("class_init", small)
    entries = {entry.name: entry for entry in eval_tasks.describe(small)}
    assert all((len(entry.pairs) == 2) == (entry.reason is None) for entry in entries.values())


def test_listing_has_two_pairs_of_each_task(tokenizer: Tokenizer) -> None:
    entries = eval_tasks.describe(tokenizer, examples=2)
    assert [entry.name for entry in entries] == eval_tasks.task_names()
    assert all(len(entry.pairs) == 2 and entry.description for entry in entries)


def test_bad_requests(tokenizer: Tokenizer) -> None:
    task = eval_tasks.get_task("for_while", tokenizer)
    with pytest.raises(UserError, match="no split 'dev'; the splits are train, validation, test"):
        task.batch("dev", 1, seed=0)
    with pytest.raises(UserError, match="at least 1 pair, not 0"):
        task.batch("train", 0, seed=0)
