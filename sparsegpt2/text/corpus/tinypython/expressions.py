"""Expressions: values of each kind, conditions, literals and printed texts."""

from __future__ import annotations

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.program import PADS, Program, Scope
from sparsegpt2.text.corpus.tinypython.words import Thing

SMALL = ("0", "1", "2", "3", "4", "5")
COMPARISONS = (">", "<", ">", "<", ">=", "<=", "==", "==", "==", "!=")


# --- Values by kind -------------------------------------------------------------------------------------------------


def field_of(program: Program, scope: Scope, kind: str) -> str | None:
    """`thing.field` of an object in scope, if the field drawn has this kind; else None."""
    if not scope.objects:
        return None
    field = program.pick(program.fields)
    return f"{program.pick(scope.objects)}.{field.name}" if field.kind == kind else None


def number_name(program: Program, scope: Scope) -> str | None:
    if scope.numbers and program.random() < 0.75:
        return program.recent(scope.numbers)
    return field_of(program, scope, "number")


def text_name(program: Program, scope: Scope) -> str | None:
    if scope.texts and program.random() < 0.75:
        return program.recent(scope.texts)
    return field_of(program, scope, "text")


def number(program: Program, scope: Scope, other: str | None = None) -> str:
    """A number: a name other than `other`, the length of a list, or a literal."""
    choice = program.random()
    if choice < 0.6 and (name := number_name(program, scope)) and name != other:
        return name
    if choice < 0.7 and scope.lists:
        return f"len({program.pick(scope.lists)[0]})"
    return program.pick(program.digits)


def text(program: Program, scope: Scope, other: str | None = None) -> str:
    """A text: a name other than `other`, or a literal."""
    if program.random() < 0.6 and (name := text_name(program, scope)) and name != other:
        return name
    word = program.pick(program.words)
    return program.quoted(word if program.random() < 0.8 else f"{word} {program.pick(program.words)}")


def arithmetic(program: Program, scope: Scope) -> str:
    left = number_name(program, scope)
    if left is None:
        return program.pick(program.digits)
    choice = program.random()
    if choice < 0.4:
        return f"{left} {program.pick('+-*')} {number(program, scope, left)}"
    if choice < 0.7:
        return f"{left} {program.pick('+-*')} {program.pick(SMALL[1:])}"
    if choice < 0.8:
        return f"{left} // 2"
    if choice < 0.9:
        return f"max({left}, {number(program, scope, left)})"
    return f"abs({left})"


def value(program: Program, scope: Scope, kind: str) -> str:
    """A short expression of the given kind: number, text, flag, list or object."""
    if kind == "number":
        return number(program, scope)
    if kind == "text":
        return text(program, scope)
    if kind == "flag":
        return program.pick(scope.flags) if scope.flags and program.random() < 0.5 else program.pick(("True", "False"))
    if kind == "list":
        return (
            program.pick(scope.lists)[0]
            if scope.lists and program.random() < 0.6
            else short_list(program, program.thing)
        )
    return program.pick(scope.objects) if scope.objects else "None"


def element(program: Program, scope: Scope) -> tuple[str, str]:
    """What a loop body works on, as (expression, kind): mostly its own variable or a field of it."""
    if scope.elements and program.random() < 0.85:
        name, kind = scope.elements[-1]
        if kind == "object":
            field = program.pick(program.fields)
            return (f"{name}.{field.name}", field.kind) if field.kind in ("text", "number") else (name, kind)
        return name, kind
    if program.random() < 0.5:
        return number(program, scope), "number"
    return text(program, scope), "text"


# --- Conditions -----------------------------------------------------------------------------------------------------


def bare(program: Program, scope: Scope) -> str | None:
    """A name to use as a condition: a flag, or something that can be empty."""
    choice = program.random()
    if choice < 0.6 and scope.flags:
        return program.recent(scope.flags)
    if choice < 0.7 and scope.lists:
        return program.pick(scope.lists)[0]
    if choice < 0.8 and scope.texts:
        return program.recent(scope.texts)
    if choice < 0.9 and scope.holders:
        return program.pick(scope.holders)[0]
    return field_of(program, scope, "flag")


def condition(program: Program, scope: Scope) -> str:
    """A condition, different from the program's last one if a few attempts find one."""
    asked = new_condition(program, scope)
    for _ in range(3):
        if asked != program.asked:
            break
        asked = new_condition(program, scope)
    program.asked = asked
    return asked


def new_condition(program: Program, scope: Scope) -> str:
    choice = program.random()
    if choice < 0.36 and (name := bare(program, scope)):
        return name if choice < 0.30 else f"not {name}"
    if choice < 0.46 and scope.flags:
        return f"{program.recent(scope.flags)} == {'True' if choice < 0.43 else 'False'}"
    if choice < 0.50 and scope.optional:
        return f"{program.pick(scope.optional)} is {'None' if choice < 0.48 else 'not None'}"
    if choice < 0.61 and (name := text_name(program, scope)):
        if choice < 0.53:
            return asked_of_text(program, scope, name)
        return f"{name} == {text(program, scope, name)}"
    if choice < 0.66 and scope.lists and scope.texts:
        return f"{program.recent(scope.texts)} in {program.pick(scope.lists)[0]}"
    if name := number_name(program, scope):
        if choice < 0.76:
            return f"{name} % {program.pick('234')} == 0"
        if choice < 0.81 and scope.flags:
            return f"{name} > {number(program, scope, name)} and {program.pick(scope.flags)}"
        return f"{name} {program.pick(COMPARISONS)} {number(program, scope, name)}"
    if name := text_name(program, scope):
        return f"{name} {'==' if choice < 0.9 else '!='} {text(program, scope, name)}"
    if scope.lists:
        return f"len({program.pick(scope.lists)[0]}) {program.pick(COMPARISONS)} {program.pick(SMALL)}"
    known = scope.flags or scope.numbers or scope.texts or [name for name, _ in scope.holders]
    known = known or [f"{name}.{program.fields[0].name}" for name in scope.objects]
    return program.recent(known) if known else "True"


def asked_of_text(program: Program, scope: Scope, name: str) -> str:
    """A condition that calls a method of a text, sometimes joined to a second condition."""
    word = program.quoted(program.pick(program.words))
    choice = program.random()
    if choice < 0.5:
        return f"{name}.count({word}) {program.pick(COMPARISONS)} {program.pick(SMALL)}"
    asked = f"{name}.{program.pick(('startswith', 'endswith'))}({word})"
    if choice < 0.85 and (other := bare(program, scope)):
        return f"{asked} {program.pick(('and', 'or'))} {other}"
    return asked


# --- Literals -------------------------------------------------------------------------------------------------------


def atoms(program: Program, kind: str, count: int) -> list[str]:
    """`count` literals of one kind. Texts all have the same quotes."""
    if kind == "number":
        return [program.pick(program.digits) for _ in range(count)]
    quote = program.quote()
    return [f"{quote}{word}{quote}" for word in program.some(program.words, count)]


def short_list(program: Program, thing: Thing) -> str:
    kind = "text" if thing.kind == "text" else "number"
    return f"[{', '.join(atoms(program, kind, 2 + int(program.random() * 4)))}]"


def nested_list(program: Program, scope: Scope) -> str:
    """A list on one line whose elements are lists, all or some of them."""
    kind = "number" if program.random() < 0.7 else "text"
    names = scope.numbers if kind == "number" else scope.texts

    def inner() -> str:
        parts = atoms(program, kind, 2 + int(program.random() * 3))
        if len(names) > 1 and program.random() < 0.3:
            parts[0] = program.pick(names)
        return f"[{', '.join(parts)}]"

    choice = program.random()
    if choice < 0.56:
        return f"[{', '.join([inner() for _ in range(2 + int(program.random() * 2))])}]"
    if choice < 0.67:
        return f"[{atoms(program, kind, 1)[0]}, {inner()}]"
    if choice < 0.78:
        return f"[{inner()}, {atoms(program, kind, 1)[0]}]"
    return f"[{inner()}]"


def list_rows(program: Program) -> list[str]:
    """The lines of a list over several lines: each has one element, a few numbers, or a list."""
    choice = program.random()
    count = 2 + int(program.random() * 3)
    if choice < 0.4:
        return atoms(program, "number" if choice < 0.15 else "text", count)
    if choice < 0.8:
        return [", ".join(atoms(program, "number", 2 + int(program.random() * 2))) for _ in range(count)]
    return [f"[{', '.join(atoms(program, 'number', 3))}]" for _ in range(count)]


def over_lines(rows: list[str], opening: str, closing: str, depth: int) -> str:
    """The rows, one on each line, between brackets; the closing bracket is indented to `depth`."""
    inner = PADS[depth + 1]
    body = f",\n{inner}".join(rows)
    return f"{opening}\n{inner}{body},\n{PADS[depth]}{closing}"


# --- Printed texts --------------------------------------------------------------------------------------------------


def label(program: Program) -> str:
    if program.random() < 0.6:
        return program.pick(program.labels)
    return program.pick(program.fields).name.capitalize()


def plain_message(program: Program) -> str:
    choice = program.random()
    if choice < 0.4:
        return program.quoted(f"{label(program)}: {program.pick(words.MESSAGES)}")
    if choice < 0.7:
        return program.quoted(program.pick(words.SENTENCES))
    if choice < 0.85:
        return program.quoted(f"{program.pick(('No', 'Found', 'All', 'Loading', 'Saving'))} {program.thing.many}")
    return program.quoted(program.pick(program.words))


def shown(program: Program, scope: Scope) -> str | None:
    """A name, a field or a length for an f-string to show; None if there is none in scope."""
    if program.random() < 0.6:
        name = number_name(program, scope) or text_name(program, scope)
    else:
        name = text_name(program, scope) or number_name(program, scope)
    if name is not None:
        return name
    if scope.elements:
        return scope.elements[-1][0]
    if scope.lists:
        return f"len({program.pick(scope.lists)[0]})"
    return program.pick(scope.holders)[0] if scope.holders else None


def filled_message(program: Program, scope: Scope) -> str:
    """An f-string, often with the shown name as its label; a plain message if there is nothing to show."""
    quote = program.quote()
    choice = program.random()
    first = shown(program, scope)
    if first is None:
        return plain_message(program)
    second = shown(program, scope)
    if choice < 0.70:
        told = first.rpartition(".")[2]
        told = told.capitalize() if choice < 0.3 and told.isalpha() else label(program)
        rest = f" and {{{second}}}" if choice > 0.62 and second != first else ""
        return f"f{quote}{told}: {{{first}}}{rest}{quote}"
    if choice < 0.82:
        return f"f{quote}Found {{{first}}} {program.thing.many}{quote}"
    if choice < 0.90 or second == first:
        return f"f{quote}Hello {{{first}}}{quote}"
    return f"f{quote}{{{first}}}: {{{second}}}{quote}"
