"""Blocks: loops, branches, files; and bodies, which are runs of statements and blocks."""

from __future__ import annotations

from collections.abc import Callable

from train.corpus.tinypython import words
from train.corpus.tinypython.expressions import DIGITS, SMALL, arithmetic, condition, element, number, text
from train.corpus.tinypython.program import PADS, Program, Scope, fresh
from train.corpus.tinypython.statements import (
    change,
    choose,
    comprehend,
    define_lambda,
    grow_holder,
    set_flag,
    set_list,
    set_nested,
    set_number,
    set_table,
    set_text,
    show,
    start_holder,
    swap,
)

Statement = Callable[[Program, Scope, int], None]
DEEPEST = 4
"""Depth at which no further block opens (16 spaces)."""


def loop_head(program: Program, scope: Scope, depth: int) -> None:
    """Write `for ... :` over something in scope and make its variables known."""
    pad = PADS[depth]
    choice = program.random()
    index = program.pick(("i", "i", "i", "index", "n", "j"))
    if choice < 0.3 or not scope.lists:
        if scope.lists and choice < 0.1:
            many, thing = program.pick(scope.lists)
            program.lines.append(f"{pad}for {index} in range(len({many})):")
            scope.elements.append((f"{many}[{index}]", thing.kind))
        else:
            program.lines.append(f"{pad}for {index} in range({number(program, scope)}):")
            scope.elements.append((index, "number"))
        scope.numbers.append(index)
        return
    many, thing = program.pick(scope.lists)
    if choice < 0.55:
        program.lines.append(f"{pad}for {index}, {thing.one} in enumerate({many}):")
        scope.numbers.append(index)
    else:
        program.lines.append(f"{pad}for {thing.one} in {many}:")
    scope.add(thing.one, thing.kind)
    scope.elements.append((thing.one, thing.kind))


def loop(program: Program, scope: Scope, depth: int) -> None:
    mark = scope.mark()
    if not scope.lists and program.chance(0.5):
        set_list(program, scope, depth)
        mark = scope.mark()
    loop_head(program, scope, depth)
    loop_body(program, scope, depth + 1)
    scope.reset(mark)


def loop_body(program: Program, scope: Scope, depth: int) -> None:
    """One to three lines or blocks about the loop's element."""
    for _ in range(1 + int(program.random() * 2.4)):
        choice = program.random()
        if choice < 0.55 and scope.holders:
            grow_holder(program, scope, depth)
        elif choice < 0.75 and depth < DEEPEST:
            branch(program, scope, depth)
        elif choice < 0.83 and depth < DEEPEST:
            loop(program, scope, depth)
        else:
            program.pick(IN_LOOP)(program, scope, depth)


def branch(program: Program, scope: Scope, depth: int) -> None:
    """if, with elif and else at times."""
    pad = PADS[depth]
    program.lines.append(f"{pad}if {condition(program, scope)}:")
    branch_body(program, scope, depth + 1)
    choice = program.random()
    if choice < 0.3:
        program.lines.append(f"{pad}elif {condition(program, scope)}:")
        branch_body(program, scope, depth + 1)
        if choice < 0.1:
            program.lines.append(f"{pad}elif {condition(program, scope)}:")
            branch_body(program, scope, depth + 1)
    if choice < 0.22 or choice > 0.65:
        program.lines.append(f"{pad}else:")
        branch_body(program, scope, depth + 1)


def branch_body(program: Program, scope: Scope, depth: int) -> None:
    mark = scope.mark()
    for _ in range(1 if program.random() < 0.75 else 2):
        choice = program.random()
        if choice < 0.4 and scope.holders:
            grow_holder(program, scope, depth)
        elif choice < 0.5 and depth < DEEPEST:
            program.pick(BLOCKS)(program, scope, depth)
        else:
            program.pick(IN_BRANCH)(program, scope, depth)
    scope.reset(mark)


def repeat(program: Program, scope: Scope, depth: int) -> None:
    """while: until a flag falls, a number runs out, a list is empty, or for ever with a break."""
    pad, inner = PADS[depth], PADS[depth + 1]
    mark = scope.mark()
    choice = program.random()
    if choice < 0.3:
        program.lines.append(f"{pad}while True:")
        name = fresh(program, scope, words.TEXTS)
        quote = program.quote()
        program.lines.append(f"{inner}{name} = input({quote}{program.pick(words.QUESTIONS)}: {quote})")
        scope.add(name, "text")
        program.lines.append(
            f"{inner}if {name} == {text(program, scope)}:" if choice < 0.15 else f"{inner}if not {name}:"
        )
        program.lines.append(f"{PADS[depth + 2]}break")
        loop_body(program, scope, depth + 1)
    elif choice < 0.55 and scope.lists:
        many, thing = program.pick(scope.lists)
        program.lines.append(f"{pad}while {many}:")
        program.lines.append(f"{inner}{thing.one} = {many}.pop()")
        scope.add(thing.one, thing.kind)
        scope.elements.append((thing.one, thing.kind))
        loop_body(program, scope, depth + 1)
    elif choice < 0.75:
        flag = fresh(program, scope, words.FLAGS)
        program.lines.append(f"{pad}{flag} = True")
        scope.flags.append(flag)
        program.lines.append(f"{pad}while {flag}:")
        loop_body(program, scope, depth + 1)
        program.lines.append(f"{inner}{flag} = {condition(program, scope) if choice < 0.6 else 'False'}")
    else:
        name = program.pick(scope.numbers) if scope.numbers else "n"
        program.lines.append(f"{pad}while {name} {'>' if choice < 0.9 else '<'} {program.pick(DIGITS)}:")
        loop_body(program, scope, depth + 1)
        program.lines.append(f"{inner}{name} {'-' if choice < 0.9 else '+'}= 1")
    scope.reset(mark)


def file_name(program: Program, reading: bool) -> str:
    """A path variable or a quoted file name whose name tells what it is for."""
    if program.random() < 0.2:
        return program.pick(words.SOURCE_PATHS if reading else words.TARGET_PATHS)
    return program.quoted(program.pick(words.SOURCES if reading else words.TARGETS))


def use_file(program: Program, scope: Scope, depth: int) -> None:
    """A file opened in a `with` block, or opened and closed by hand."""
    pad, inner = PADS[depth], PADS[depth + 1]
    mark = scope.mark()
    reading = program.random() < 0.5
    path = file_name(program, reading)
    mode = f", {program.quoted('r' if reading else 'w')}"
    if reading and program.random() < 0.25:
        mode = ""
    f = "f" if program.random() < 0.75 else "file"
    managed = program.random() < 0.55
    if managed:
        program.lines.append(f"{pad}with open({path}{mode}) as {f}:")
        depth += 1
        pad = inner
    else:
        program.lines.append(f"{pad}{f} = open({path}{mode})")
    choice = program.random()
    if not reading:
        write_lines(program, scope, depth, f)
    elif choice < 0.45:
        program.lines.append(f"{pad}for line in {f}:")
        scope.texts.append("line")
        scope.elements.append(("line", "text"))
        loop_body(program, scope, depth + 1)
    else:
        name = fresh(program, scope, words.TEXTS if choice < 0.75 else words.HOLDERS)
        program.lines.append(f"{pad}{name} = {f}.{'read' if choice < 0.75 else 'readlines'}()")
        if choice < 0.75:
            scope.texts.append(name)
    if not managed:
        program.lines.append(f"{pad}{f}.close()")
    scope.reset(mark)


def write_lines(program: Program, scope: Scope, depth: int, f: str) -> None:
    pad = PADS[depth]
    if scope.lists and program.random() < 0.6:
        many, thing = program.pick(scope.lists)
        scope.elements.append((thing.one, thing.kind))
        scope.add(thing.one, thing.kind)
        program.lines.append(f"{pad}for {thing.one} in {many}:")
        part, kind = element(program, scope)
        newline = program.quoted("\\n")
        program.lines.append(f"{PADS[depth + 1]}{f}.write({part if kind == 'text' else f'str({part})'} + {newline})")
    else:
        program.lines.append(f"{pad}{f}.write({text(program, scope)})")


def collect(program: Program, scope: Scope, depth: int) -> tuple[str, str]:
    """Start one to three holders, go over a list and fill them; returns the (name, kind) of one of them."""
    started = [start_holder(program, scope, depth) for _ in range(1 + int(program.random() * 2.2))]
    if not scope.lists:
        set_list(program, scope, depth)
    mark = scope.mark()
    loop_head(program, scope, depth)
    loop_body(program, scope, depth + 1)
    if program.chance(0.6):
        grow_holder(program, scope, depth + 1)
    scope.reset(mark)
    return program.pick(started)


def sum_up(program: Program, scope: Scope, depth: int) -> None:
    collect(program, scope, depth)


BLOCKS: tuple[Statement, ...] = (loop, loop, branch, branch, repeat, use_file)
IN_LOOP: tuple[Statement, ...] = (show, show, show, choose, set_flag, set_number, set_text, change, change, swap)
IN_BRANCH: tuple[Statement, ...] = (show, show, show, change, change, change, set_number, set_text, choose, swap)
ANY: tuple[Statement, ...] = (
    set_number, set_number, set_text, set_flag, set_flag, set_list, set_nested, set_table, show, show, show,
    choose, choose, swap, swap, define_lambda, comprehend,
    loop, loop, branch, branch, branch, repeat, use_file, use_file, sum_up,
)  # fmt: skip


def body(program: Program, scope: Scope, depth: int, count: int) -> None:
    for _ in range(count):
        program.pick(ANY)(program, scope, depth)


def last_value(program: Program, scope: Scope) -> tuple[str, str]:
    """Something to return that the scope has made, as (expression, kind)."""
    choice = program.random()
    if choice < 0.3 and scope.holders:
        return program.pick(scope.holders)
    if choice < 0.55 and scope.numbers:
        return (scope.numbers[-1], "number") if choice < 0.45 else (arithmetic(program, scope), "number")
    if choice < 0.7 and scope.texts:
        return scope.texts[-1], "text"
    if choice < 0.8 and scope.flags:
        return scope.flags[-1], "flag"
    if choice < 0.95:
        return program.pick(("True", "True", "False")), "flag"
    return program.pick(SMALL), "number"
