"""The registry: how a thing is found, what is said when it is not, and that a file's words run no code."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.registry import Kind, name_of, takes, unknown
from sparsegpt2.usercode import load_file, sentence


@pytest.fixture
def kind(tmp_path, monkeypatch) -> Kind:
    """Greetings: functions of one argument, two of them built in."""
    package = tmp_path / "site" / "greetings_built_in"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "hello.py").write_text("def greet(name): return f'hello {name}'\n")
    (package / "goodbye.py").write_text("def greet(name): return f'goodbye {name}'\n")
    (package / "_shared.py").write_text("raise AssertionError('no greeting')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    flaw = lambda thing, holder: "" if takes(thing, 1) else "must be a function of one argument"  # noqa: E731
    yield Kind("greeting", "tests.greetings", "greet", flaw, ("greetings_built_in",))
    for name in [name for name in sys.modules if name.startswith("greetings_")]:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    """Write a file into the working folder and return its name."""

    def to(name: str, text: str) -> str:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return name

    return to


OWN = "def greet(name): return f'hi {name}'\ndef other(name): return f'hey {name}'\n"


# --- Finding --------------------------------------------------------------------------------------------------------


def test_built_in_things_are_found_by_name(kind):
    assert kind.names() == ["goodbye", "hello"]
    found = kind.resolve("hello")
    assert (found.name, found.thing("you"), found.fingerprint) == ("hello", "hello you", "")


def test_a_file_is_found_by_its_path_and_then_by_its_name(kind, write):
    found = kind.resolve(write("sub/hi.py", OWN))
    assert (found.name, found.thing("you"), len(found.fingerprint)) == ("hi", "hi you", 16)
    assert kind.named("hi") is found and "hi" in kind.known() and "hi" not in kind.names()
    other = kind.resolve("sub/hi.py:other")
    assert (other.name, other.thing("you"), other.holder) == ("hi.other", "hey you", None)


def test_a_module_of_the_working_folder_is_found_and_shadows_nothing(kind, write):
    write("greetings_own.py", OWN)
    write("json.py", "raise AssertionError('shadows the library')\n")
    write("greetings_package/inner.py", "import json\n" + OWN)
    assert kind.resolve("greetings_own:greet").name == "greetings_own"
    assert kind.resolve("greetings_package.inner:other").thing("you") == "hey you"
    assert kind.named("inner.other").thing("you") == "hey you"
    assert str(sys.path[-1]) != "." and "json" in sys.modules


def test_a_class_may_hold_what_a_file_does(kind, write):
    found = kind.resolve(
        write("held.py", "class Polite:\n    title = 'Dr'\n    def greet(name): return name\n") + ":Polite"
    )
    assert (found.name, found.holder.title, found.thing("you")) == ("held.Polite", "Dr", "you")


def test_an_installed_package_offers_things_by_entry_point(kind, write, tmp_path, monkeypatch):
    write("installed/greetings_plugin.py", OWN)
    points = "[tests.greetings]\nhi = greetings_plugin\nhey = greetings_plugin:other\nbad = greetings_plugin:none\n"
    write("installed/greetings_plugin-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    write("installed/greetings_plugin-1.0.dist-info/entry_points.txt", points)
    assert kind.installed() == []
    monkeypatch.syspath_prepend(tmp_path / "installed")
    assert kind.installed() == ["bad", "hey", "hi"]
    assert kind.resolve("hi").thing("you") == "hi you" and kind.named("hey").thing("you") == "hey you"
    assert kind.named("hi").fingerprint
    with pytest.raises(UserError, match=r"greetings_plugin\.py, line 1: this greeting file must define none"):
        kind.named("bad")


def test_a_built_in_file_by_its_path_is_the_built_in_thing(kind, tmp_path):
    assert kind.resolve(str(tmp_path / "site/greetings_built_in/hello.py")).fingerprint == ""


def test_a_file_cannot_take_the_name_of_a_built_in_thing(kind, write):
    with pytest.raises(UserError, match=r"'hello' is the name of a built-in greeting; give yours another name"):
        kind.resolve(write("hello.py", OWN))
    assert kind.named("hello").thing("you") == "hello you"


def test_a_thing_of_a_notebook_is_introduced(kind):
    kind.introduce("shout", str.upper)
    assert kind.named("shout").thing("hi") == "HI"


# --- Trust ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["evil.py", "./evil.py", "evil.py:greet", "evil:greet", "sub/evil", "hf:a/b", "x\\y"])
def test_a_name_from_a_file_runs_nothing(kind, write, name):
    write("evil.py", "open('PWNED', 'w')\ndef greet(name): pass\n")
    with pytest.raises(UserError, match="code is run only if you type its name yourself") as told:
        kind.named(name)
    assert repr(name) in str(told.value) and "\n" not in str(told.value)
    assert not kind.introduced and not Path("PWNED").exists()


# --- Mistakes -------------------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_what_there_is(kind):
    with pytest.raises(UserError) as told:
        kind.resolve("helo")
    assert str(told.value) == (
        "there is no greeting 'helo'; there are goodbye, hello, "
        "or give your own as FILE.py or MODULE:ATTRIBUTE; did you mean hello?"
    )
    assert "did you mean" not in unknown("greeting", "xyz", ["hello"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1\n\nraise ValueError('boom\\nand more')\n", "mine.py, line 3: ValueError: boom and more"),
        ("def f():\n    return 1 / 0\n\nf()\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", "mine.py, line 2: JSONDecodeError: "),
        ("x = 1\ndef greet(\n", "mine.py, line 2: SyntaxError: '(' was never closed"),
        ("\nimport no_such_module\n", "mine.py, line 2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys\nsys.exit(3)\n", "mine.py, line 2: SystemExit: 3"),
        ("x = 1\n", "mine.py, line 1: this greeting file must define greet, but does not"),
        ("\n\ndef Greet(name): pass\n", "mine.py, line 3: this greeting file must define greet, but does not; did you"),
        ("\ngreet = 3\n", "mine.py, line 2: greet must be a function of one argument"),
        ("\n\n\ndef greet(): pass\n", "mine.py, line 4: greet must be a function of one argument"),
        ("from sparsegpt2.errors import UserError\nraise UserError('wants two')\n", "mine.py, line 2: wants two"),
    ],
)
def test_a_mistake_in_a_file_is_a_sentence_with_its_line(kind, write, content, said):
    with pytest.raises(UserError) as told:
        kind.resolve(write("mine.py", content))
    assert str(told.value).startswith(said) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("gone.py", "the greeting file gone.py does not exist"),
        ("no_such.module:greet", "'no_such.module:greet' is not a greeting: there is no module 'no_such'"),
        ("greetings_own:nothing", "greetings_own.py, line 1: this greeting file must define nothing, but does not"),
        ("greetings_broken:greet", "greetings_broken.py, line 2: ValueError: boom"),
        ("greetings_needs:greet", "greetings_needs.py, line 1: ModuleNotFoundError: No module named 'no_such'"),
    ],
)
def test_a_wrong_address_is_a_sentence(kind, write, typed, said):
    write("greetings_own.py", OWN)
    write("greetings_broken.py", "\nraise ValueError('boom')\n")
    write("greetings_needs.py", "import no_such\n")
    with pytest.raises(UserError) as told:
        kind.resolve(typed)
    assert said in str(told.value) and "\n" not in str(told.value)


def test_a_mistake_that_shows_when_the_thing_is_used_has_a_line_too(kind, write):
    found = kind.resolve(write("late.py", "def greet(name):\n    return name['x']\n"))
    with pytest.raises(TypeError) as raised:
        found.thing("you")
    assert sentence(raised.value).startswith("late.py, line 2: TypeError: ")
    with pytest.raises(ZeroDivisionError) as other:
        1 / 0  # noqa: B018
    assert sentence(other.value) is None


# --- Loading --------------------------------------------------------------------------------------------------------


def test_a_file_is_run_once_for_each_content(kind, write):
    write("counted.py", "import pathlib\npathlib.Path('ran').open('a').write('x')\n" + OWN)
    first = kind.resolve("counted.py")
    assert kind.resolve("./counted.py").holder is first.holder
    assert kind.resolve("counted.py:other").thing is first.holder.other
    assert Path("ran").read_text() == "x"
    write(
        "counted.py", "import pathlib\npathlib.Path('ran').open('a').write('y')\n" + OWN
    )  # as long, in the same second
    edited = kind.resolve("counted.py")
    assert Path("ran").read_text() == "xy"
    assert edited.fingerprint != first.fingerprint and edited.holder is not first.holder


def test_what_a_file_defines_can_be_pickled_and_may_be_a_dataclass(tmp_path):
    (tmp_path / "shapes.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass(kw_only=True)\nclass Point:\n    x: int = 0\n    at: ClassVar[int] = 3\n".replace(
            "from dataclasses", "from typing import ClassVar\nfrom dataclasses"
        )
    )
    module = load_file(tmp_path / "shapes.py")
    assert pickle.loads(pickle.dumps(module.Point(x=2))) == module.Point(x=2)
    assert sys.modules[module.__name__] is module and "shapes" not in sys.modules


def test_names_of_what_was_typed():
    typed = ["a/mine.py", "mine.py:rank", "mine.py:two", "package.mine:rank", "package.mine:two", "node", "c++/x.py"]
    assert [name_of(one, "rank") for one in typed] == ["mine", "mine", "mine.two", "mine", "mine.two", "node", "x"]
