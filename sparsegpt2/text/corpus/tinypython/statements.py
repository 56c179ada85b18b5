"""Statements of one or a few lines. The names that they define are added to the scope."""

from __future__ import annotations

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.expressions import (
    SMALL,
    arithmetic,
    atoms,
    bare,
    condition,
    element,
    field_of,
    filled_message,
    list_rows,
    nested_list,
    number,
    number_name,
    over_lines,
    plain_message,
    short_list,
    text,
    text_name,
    value,
)
from sparsegpt2.text.corpus.tinypython.program import PADS, Program, Scope, fresh, fresh_list, plain


def set_number(program: Program, scope: Scope, depth: int) -> None:
    name = fresh(program, scope, "number")
    choice = program.random()
    if choice < 0.45:
        right = program.pick(program.digits)
        if choice < 0.08:
            other = fresh(program, scope, "number")
            if other != name:
                program.lines.append(f"{PADS[depth]}{name}, {other} = {right}, {program.pick(program.digits)}")
                scope.add(name, "number")
                return scope.add(other, "number")
    elif choice < 0.55 and scope.lists:
        many, thing = program.pick(scope.lists)
        right = f"{program.pick(('len', 'sum', 'max', 'min')) if thing.kind == 'number' else 'len'}({many})"
    elif choice < 0.62 and scope.tables and scope.tables[-1][2] == "number":
        right = f"{scope.tables[-1][0]}[{scope.tables[-1][1]}]"
    else:
        right = arithmetic(program, scope)
    program.lines.append(f"{PADS[depth]}{name} = {right}")
    scope.add(name, "number")


def set_text(program: Program, scope: Scope, depth: int) -> None:
    name = fresh(program, scope, "text")
    choice = program.random()
    if choice < 0.4:
        right = text(program, scope)
    elif choice < 0.55:
        quote = program.quote()
        question = program.pick(words.QUESTIONS)
        right = f"input({quote}{question}: {quote})"
        if choice < 0.48:
            right += f" or {program.quoted(program.pick(program.words))}"
    elif choice < 0.65 and (source := number_name(program, scope)):
        right = f"str({source})"
    elif choice < 0.85 and (source := text_name(program, scope)):
        right = f"{source}.{program.pick(('upper', 'lower', 'strip', 'title'))}()"
    elif source := text_name(program, scope):
        method = program.pick(("count", "index", "find"))
        if program.random() < 0.3:
            right = f"{source}.{method}({program.quoted(program.pick(program.words))}) + {program.pick(SMALL)}"
            name = fresh(program, scope, "number")
            program.lines.append(f"{PADS[depth]}{name} = {right}")
            return scope.add(name, "number")
        right = f"{source} + {text(program, scope, source)}"
    else:
        right = plain_message(program)
    program.lines.append(f"{PADS[depth]}{name} = {right}")
    scope.add(name, "text")


def set_flag(program: Program, scope: Scope, depth: int) -> None:
    name = fresh(program, scope, "flag")
    choice = program.random()
    asked = program.recent(scope.flags) if scope.flags else field_of(program, scope, "flag")
    if choice < 0.2:
        right = "True" if choice < 0.1 else "False"
    elif choice < 0.6 and asked:
        right = f"{asked} == {'True' if choice < 0.53 else 'False'}"
    elif choice < 0.66 and asked:
        right = f"not {asked}"
    elif choice < 0.75 and (source := text_name(program, scope)):
        right = f"{source} == {text(program, scope, source)}"
    elif source := number_name(program, scope):
        right = f"{source} {program.pick(('>', '<', '=='))} {number(program, scope, source)}"
    else:
        right = "False"
    program.lines.append(f"{PADS[depth]}{name} = {right}")
    scope.add(name, "flag")


def set_list(program: Program, scope: Scope, depth: int) -> None:
    thing = plain(fresh_list(program, scope))
    if thing.many in scope.used:
        return set_nested(program, scope, depth)
    program.lines.append(f"{PADS[depth]}{thing.many} = {short_list(program, thing)}")
    scope.add_list(thing.many, thing)


def set_nested(program: Program, scope: Scope, depth: int) -> None:
    name = program.pick(("grid", "matrix", "rows", "pairs", "points", "values", "table", "board", "groups", "data"))
    right = nested_list(program, scope)
    choice = program.random()
    if choice < 0.12:
        right += f"  # {program.pick(('two rows', 'the rows', 'start values', 'pairs of values', 'test data'))}"
    elif choice < 0.2:
        right += f" + {name if name in scope.used else '[[0, 0]]'}"
    program.lines.append(f"{PADS[depth]}{name} = {right}")
    scope.used.add(name)


def set_table(program: Program, scope: Scope, depth: int) -> None:
    """Assign a dict or a list that is written over several lines."""
    name = program.pick(("data", "config", "scores", "prices", "settings", "names", "codes", "ages", "colors"))
    choice = program.random()
    if choice < 0.4:
        rows = list_rows(program)
    elif choice < 0.6:
        quote = program.quote()
        fields = program.some(program.fields, 3)
        rows = [f"{quote}{field.name}{quote}: {value(program, scope, field.kind)}" for field in fields]
    else:
        count = 2 + int(program.random() * 3)
        kind = "number" if program.random() < 0.6 else "text"
        keys = atoms(program, "text", count) if choice < 0.82 else program.some(program.digits, count)
        rows = [f"{key}: {atom}" for key, atom in zip(keys, atoms(program, kind, count), strict=True)]
        scope.tables.append((name, program.pick(keys), kind))
    opening, closing = "[]" if choice < 0.4 else "{}"
    program.lines.append(f"{PADS[depth]}{name} = {over_lines(rows, opening, closing, depth)}")
    scope.used.add(name)


def show(program: Program, scope: Scope, depth: int) -> None:
    """Print a plain text, an f-string, a value, or a label with a value."""
    pad = PADS[depth]
    choice = program.random()
    if choice < 0.42:
        line = f"print({plain_message(program)})"
        if choice < 0.04:
            line += f"  # {program.pick(('for the user', 'debug', 'tell the user', 'show it'))}"
        elif choice < 0.07 and (name := bare(program, scope)):
            line += f" if {name} else None"
    elif choice < 0.78:
        line = f"print({filled_message(program, scope)})"
    elif choice < 0.9:
        line = f"print({value(program, scope, 'number' if choice < 0.84 else 'text')})"
    else:
        line = f"print({program.quoted(program.pick(program.labels) + ':')}, {number(program, scope)})"
    program.lines.append(pad + line)


def introduce(program: Program, scope: Scope, depth: int) -> None:
    """Define a new name in a branch, and print it at once."""
    program.pick((set_number, set_text))(program, scope, depth)
    program.lines.append(f"{PADS[depth]}print({filled_message(program, scope)})")


def choose(program: Program, scope: Scope, depth: int) -> None:
    """Assign a conditional expression, `one if condition else other`."""
    asked = condition(program, scope)
    if program.random() < 0.4:
        name, kind = fresh(program, scope, "number"), "number"
        one = number(program, scope)
        other = number(program, scope, one)
    else:
        name, kind = fresh(program, scope, "text"), "text"
        if program.random() < 0.6:
            first, second = program.pick(words.PAIRS)
            quote = program.quote()
            one, other = f"{quote}{first}{quote}", f"{quote}{second}{quote}"
        else:
            one = text(program, scope)
            other = text(program, scope, one)
        if one == other:
            other = program.quoted(program.pick(words.PAIRS)[0])
    program.lines.append(f"{PADS[depth]}{name} = {one} if {asked} else {other}")
    scope.add(name, kind)


def swap(program: Program, scope: Scope, depth: int) -> None:
    """Swap two variables, sometimes only if they are out of order."""
    pad = PADS[depth]
    names, set_another = (scope.texts, set_text) if program.random() < 0.4 else (scope.numbers, set_number)
    while len(changeable := sorted(set(names) - scope.fixed)) < 2:
        set_another(program, scope, depth)
    one, other = program.some(changeable, 2)
    choice = program.random()
    if choice < 0.25 and depth < 4:
        program.lines.append(f"{pad}if {one} > {other}:")
        pad = PADS[depth + 1]
    elif choice < 0.35:
        program.lines.append(f"{pad}# swap {one} and {other}")
    program.lines.append(f"{pad}{one}, {other} = {other}, {one}")


def define_lambda(program: Program, scope: Scope, depth: int) -> None:
    pad = PADS[depth]
    argument = program.thing.one if program.random() < 0.4 else program.pick(program.names["number"])
    choice = program.random()
    if choice < 0.35 and scope.lists:
        many, thing = program.pick(scope.lists)
        if thing.kind == "object":
            key = f"{thing.one}.{program.pick(program.fields).name}"
        else:
            key = f"-{thing.one}" if thing.kind == "number" else f"len({thing.one})"
        if choice < 0.2:
            program.lines.append(f"{pad}{many}.sort(key=lambda {thing.one}: {key})")
        else:
            program.lines.append(f"{pad}ordered = sorted({many}, key=lambda {thing.one}: {key})")
        return
    if choice < 0.8:
        name, kind = program.pick(words.HELPERS), "number"
        body = f"{argument} {program.pick('+*-')} {program.pick(SMALL[1:])}"
    else:
        (name, rest), kind = program.pick((("is_even", "0"), ("is_odd", "1"))), "flag"
        body = f"{argument} % 2 == {rest}"
    program.lines.append(f"{pad}{name} = lambda {argument}: {body}")
    if program.random() < 0.5:
        result = fresh(program, scope, kind)
        program.lines.append(f"{pad}{result} = {name}({number(program, scope)})")
        scope.add(result, kind)


def comprehend(program: Program, scope: Scope, depth: int) -> None:
    """Assign a comprehension over a list in scope; define a list if there is none."""
    if not scope.lists:
        return set_list(program, scope, depth)
    many, thing = program.pick(scope.lists)
    one = thing.one
    name = fresh(program, scope, "holder")
    if thing.kind == "object":
        field = program.pick(program.fields).name
        made = f"{one}.{field}"
        test = f"{one}.{field}"
    elif thing.kind == "number":
        made = program.pick((one, f"{one} * 2", f"{one} + 1", f"str({one})"))
        test = f"{one} > {program.pick(program.digits)}"
    else:
        made = program.pick((one, f"{one}.upper()", f"len({one})", f"{one}.strip()"))
        test = program.pick((one, f"len({one}) > {program.pick(SMALL)}"))
    tail = f" if {test}" if program.random() < 0.4 else ""
    program.lines.append(f"{PADS[depth]}{name} = [{made} for {one} in {many}{tail}]")
    scope.used.add(name)


# --- Holders: empty at first, filled in loops -----------------------------------------------------------------------

HOLDER_KINDS = ("set", "set", "set", "set", "text", "text", "text", "text", "list", "count", "dict")


def start_holder(program: Program, scope: Scope, depth: int, kind: str | None = None) -> tuple[str, str]:
    """Write `seen = set()`, `text = ""` and so on. The name hardly tells the kind."""
    kind = kind or program.pick(HOLDER_KINDS)
    if kind == "count":
        name = fresh(program, scope, "number")
        right = "0"
        scope.numbers.append(name)
    else:
        name = "current"
        if name in scope.used or program.random() > 0.2:
            name = fresh(program, scope, "holder")
        if kind == "text":
            right = program.quote() * 2
        else:
            right = "set()" if kind == "set" else "[]" if kind == "list" else "{}"
    program.lines.append(f"{PADS[depth]}{name} = {right}")
    scope.used.add(name)
    scope.holders.append((name, kind))
    return name, kind


def grow_holder(program: Program, scope: Scope, depth: int, holder: tuple[str, str] | None = None) -> None:
    """Put something into a holder: add it to a set, append it to a list or text, count it, or set a key of a dict."""
    name, kind = holder or program.pick(scope.holders)
    part, part_kind = element(program, scope)
    choice = program.random()
    if kind == "set":
        line = f"{name}.add({part})"
    elif kind == "list":
        line = f"{name}.append({part})"
    elif kind == "count":
        line = f"{name} += {part}" if part_kind == "number" and choice < 0.6 else f"{name} += 1"
    elif kind == "dict":
        line = f"{name}[{part}] = {number(program, scope)}"
    elif part_kind != "text":
        quote = program.quote()
        line = f"{name} += str({part})" if choice < 0.6 else f"{name} += f{quote}{{{part}}}, {quote}"
    elif choice < 0.5:
        line = f"{name} += {part}"
    else:
        line = f"{name} += {part} + {program.quoted(program.pick((' ', ', ', '-', ': ')))}"
    program.lines.append(PADS[depth] + line)


def change(program: Program, scope: Scope, depth: int) -> None:
    """Give a new value to something that is already defined, but not to a loop variable."""
    pad = PADS[depth]
    choice = program.random()
    if choice < 0.4 and scope.flags:
        program.lines.append(f"{pad}{program.recent(scope.flags)} = {program.pick(('True', 'False'))}")
    elif scope.numbers and (name := program.recent(scope.numbers)) not in scope.fixed:
        if choice < 0.7:
            program.lines.append(f"{pad}{name} {program.pick('++-')}= {program.pick(SMALL[1:])}")
        else:
            program.lines.append(f"{pad}{name} = {arithmetic(program, scope)}")
    elif scope.texts and (name := program.recent(scope.texts)) not in scope.fixed:
        program.lines.append(f"{pad}{name} = {text(program, scope, name)}")
    else:
        show(program, scope, depth)
