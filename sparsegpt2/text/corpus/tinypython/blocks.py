"""Blocks (loops, branches, files), and bodies, which are sequences of statements and blocks."""

from __future__ import annotations

from collections.abc import Callable

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.expressions import SMALL, arithmetic, condition, element, number, text
from sparsegpt2.text.corpus.tinypython.program import FULL, PADS, Program, Scope, fresh
from sparsegpt2.text.corpus.tinypython.statements import (
    change,
    choose,
    comprehend,
    define_lambda,
    grow_holder,
    introduce,
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
from sparsegpt2.text.corpus.tinypython.words import Thing

LINES = Thing("line", "lines", "text")
Statement = Callable[[Program, Scope, int], object]
DEEPEST = 4
"""Depth of indentation at which no more blocks are opened (16 spaces)."""


def room(program: Program, depth: int) -> bool:
    """Whether another block may open here."""
    return depth < DEEPEST and len(program.lines) < FULL


def loop_head(program: Program, scope: Scope, depth: int) -> None:
    """Write `for ... :` over something in scope, and add its variables to the scope."""
    pad = PADS[depth]
    choice = program.random()
    index = fresh(program, scope, "index")
    many, thing = program.pick(scope.lists) if scope.lists else ("", program.thing)
    if thing.one in scope.numbers or thing.one in scope.texts or thing.one in scope.objects:
        many = many if choice < 0.1 else ""  # the name is taken: an outer loop goes over the same list
    if not many or choice < 0.25:
        if many and choice < 0.1:
            program.lines.append(f"{pad}for {index} in range(len({many})):")
            scope.elements.append((f"{many}[{index}]", thing.kind))
        else:
            program.lines.append(f"{pad}for {index} in range({number(program, scope)}):")
            scope.elements.append((index, "number"))
    elif choice < 0.62:
        program.lines.append(f"{pad}for {index}, {thing.one} in enumerate({many}):")
    else:
        program.lines.append(f"{pad}for {thing.one} in {many}:")
        index = ""
    if index:
        scope.add(index, "number")
        scope.fixed.add(index)
    if many and choice >= 0.25:
        know_element(scope, thing.one, thing.kind)


def know_element(scope: Scope, name: str, kind: str) -> None:
    """Add a loop variable to the scope. Statements must not change it."""
    scope.add(name, kind)
    scope.fixed.add(name)
    scope.elements.append((name, kind))


def loop(program: Program, scope: Scope, depth: int) -> None:
    if not scope.lists and program.random() < 0.5:
        set_list(program, scope, depth)
    mark = scope.mark()
    if scope.holders and scope.holders[-1][1] == "dict" and not scope.elements and program.random() < 0.6:
        name = scope.holders.pop()[0]
        program.lines.append(f"{PADS[depth]}for key, value in {name}.items():")
        know_element(scope, "key", "text")
        know_element(scope, "value", "number")
        mark = (*mark[:5], mark[5] - 1, *mark[6:])
    else:
        loop_head(program, scope, depth)
    loop_body(program, scope, depth + 1)
    scope.reset(mark)


def loop_body(program: Program, scope: Scope, depth: int) -> None:
    """Write one to three statements or blocks, mostly about the loop's element."""
    for _ in range(1 + int(program.random() * 2.4)):
        choice = program.random()
        if choice < 0.55 and scope.holders:
            grow_holder(program, scope, depth)
        elif choice < 0.75 and room(program, depth):
            branch(program, scope, depth)
        elif choice < 0.83 and room(program, depth):
            loop(program, scope, depth)
        else:
            program.pick(IN_LOOP)(program, scope, depth)


def branch(program: Program, scope: Scope, depth: int) -> None:
    """Write an `if`, sometimes with `elif` and `else`."""
    pad = PADS[depth]
    program.lines.append(f"{pad}if {condition(program, scope)}:")
    branch_body(program, scope, depth + 1)
    choice = program.random()
    if choice < 0.2:
        program.lines.append(f"{pad}elif {condition(program, scope)}:")
        branch_body(program, scope, depth + 1)
        if choice < 0.04:
            program.lines.append(f"{pad}elif {condition(program, scope)}:")
            branch_body(program, scope, depth + 1)
    if choice < 0.15 or choice > 0.7:
        program.lines.append(f"{pad}else:")
        branch_body(program, scope, depth + 1)


def branch_body(program: Program, scope: Scope, depth: int) -> None:
    mark = scope.mark()
    for _ in range(1 if program.random() < 0.75 else 2):
        choice = program.random()
        if choice < 0.4 and scope.holders:
            grow_holder(program, scope, depth)
        elif choice < 0.5 and room(program, depth):
            program.pick(BLOCKS)(program, scope, depth)
        else:
            program.pick(IN_BRANCH)(program, scope, depth)
    scope.reset(mark)


def repeat(program: Program, scope: Scope, depth: int) -> None:
    """Write a `while` loop that ends with a break, when a list is empty, when there is no next thing, when a flag
    changes, or when a number reaches a limit."""
    choice = program.random()
    if choice < 0.2:
        ask_until(program, scope, depth)
    elif choice < 0.38 and scope.lists:
        empty_list(program, scope, depth)
    elif choice < 0.66 and scope.lists:
        take_while_any(program, scope, depth)
    elif choice < 0.81:
        run_while_flag(program, scope, depth)
    else:
        count_while(program, scope, depth)


def ask_until(program: Program, scope: Scope, depth: int) -> None:
    pad, inner = PADS[depth], PADS[depth + 1]
    mark = scope.mark()
    name = fresh(program, scope, "text")
    quote = program.quote()
    program.lines.append(f"{pad}while True:")
    program.lines.append(f"{inner}{name} = input({quote}{program.pick(words.QUESTIONS)}: {quote})")
    scope.add(name, "text")
    asked = f"{name} == {text(program, scope, name)}" if program.random() < 0.5 else f"not {name}"
    program.lines.append(f"{inner}if {asked}:")
    program.lines.append(f"{PADS[depth + 2]}break")
    loop_body(program, scope, depth + 1)
    scope.reset(mark)


def empty_list(program: Program, scope: Scope, depth: int) -> None:
    mark = scope.mark()
    many, thing = program.pick(scope.lists)
    program.lines.append(f"{PADS[depth]}while {many}:")
    program.lines.append(f"{PADS[depth + 1]}{thing.one} = {many}.pop()")
    know_element(scope, thing.one, thing.kind)
    loop_body(program, scope, depth + 1)
    scope.reset(mark)


def take_while_any(program: Program, scope: Scope, depth: int) -> None:
    """Take things from a list, one before the loop and one at the end of each round, with the names of a `for` loop."""
    mark = scope.mark()
    many, thing = program.pick(scope.lists)
    take = f"{thing.one} = {many}.pop() if {many} else None"
    program.lines.append(f"{PADS[depth]}{take}")
    program.lines.append(f"{PADS[depth]}while {thing.one}:")
    know_element(scope, thing.one, thing.kind)
    loop_body(program, scope, depth + 1)
    program.lines.append(f"{PADS[depth + 1]}{take}")
    scope.reset(mark)


def run_while_flag(program: Program, scope: Scope, depth: int) -> None:
    mark = scope.mark()
    flag = fresh(program, scope, "flag")
    start, stop = ("True", "False") if program.random() < 0.7 else ("False", "True")
    program.lines.append(f"{PADS[depth]}{flag} = {start}")
    program.lines.append(f"{PADS[depth]}while {flag if start == 'True' else f'not {flag}'}:")
    scope.flags.append(flag)
    loop_body(program, scope, depth + 1)
    program.lines.append(f"{PADS[depth + 1]}{flag} = {condition(program, scope) if program.random() < 0.5 else stop}")
    scope.reset(mark)


def count_while(program: Program, scope: Scope, depth: int) -> None:
    mark = scope.mark()
    changing = [name for name in scope.numbers if name not in scope.fixed]
    down = program.random() < 0.6
    if changing and program.random() < 0.6:
        name = program.recent(changing)
    else:
        name = fresh(program, scope, "number")
        program.lines.append(f"{PADS[depth]}{name} = {program.pick(program.digits if down else SMALL)}")
        scope.add(name, "number")
    limit = program.pick(SMALL) if down else number(program, scope, name)
    program.lines.append(f"{PADS[depth]}while {name} {'>' if down else '<'} {limit}:")
    loop_body(program, scope, depth + 1)
    program.lines.append(f"{PADS[depth + 1]}{name} {'-' if down else '+'}= 1")
    scope.reset(mark)


def file_path(program: Program, scope: Scope, depth: int, reading: bool) -> str:
    """A quoted file name, or a variable that holds it. Files to read and files to write have different names."""
    name = program.quoted(program.pick(words.SOURCES if reading else words.TARGETS))
    if program.random() < 0.6:
        return name
    path = program.pick(words.SOURCE_PATHS if reading else words.TARGET_PATHS)
    if path not in scope.used:
        program.lines.append(f"{PADS[depth]}{path} = {name}")
        scope.used.add(path)
    return path


def use_file(program: Program, scope: Scope, depth: int) -> None:
    """Open a file in a `with` block, or open and close it with calls, and read or write it."""
    pad = PADS[depth]
    reading = program.random() < 0.55
    path = file_path(program, scope, depth, reading)
    mode = f", {program.quoted('r' if reading else 'w')}"
    if reading and program.random() < (0.1 if path[0] in "'\"" else 0.5):
        mode = ""
    f = "f" if program.random() < 0.75 else "file"
    managed = program.random() < 0.55
    program.lines.append(f"{pad}with open({path}{mode}) as {f}:" if managed else f"{pad}{f} = open({path}{mode})")
    if reading:
        read_file(program, scope, depth + managed, f)
    else:
        write_lines(program, scope, depth + managed, f)
    if not managed:
        program.lines.append(f"{pad}{f}.close()")


def read_file(program: Program, scope: Scope, depth: int, f: str) -> None:
    """Loop over the lines of a file, or read all its text or lines at once."""
    pad = PADS[depth]
    choice = program.random()
    if choice < 0.45:
        mark = scope.mark()
        by_hand = choice < 0.12
        if by_hand:
            program.lines.append(f"{pad}line = {f}.readline()")
        program.lines.append(f"{pad}while line:" if by_hand else f"{pad}for line in {f}:")
        know_element(scope, "line", "text")
        loop_body(program, scope, depth + 1)
        if by_hand:
            program.lines.append(f"{PADS[depth + 1]}line = {f}.readline()")
        scope.reset(mark)
    elif choice < 0.75:
        name = fresh(program, scope, "text")
        program.lines.append(f"{pad}{name} = {f}.read()")
        scope.add(name, "text")
    else:
        name = fresh(program, scope, "holder")
        program.lines.append(f"{pad}{name} = {f}.readlines()")
        scope.add_list(name, LINES)


def write_lines(program: Program, scope: Scope, depth: int, f: str) -> None:
    pad = PADS[depth]
    if scope.lists and program.random() < 0.6:
        many, thing = program.pick(scope.lists)
        mark = scope.mark()
        know_element(scope, thing.one, thing.kind)
        program.lines.append(f"{pad}for {thing.one} in {many}:")
        part, kind = element(program, scope)
        newline = program.quoted("\\n")
        program.lines.append(f"{PADS[depth + 1]}{f}.write({part if kind == 'text' else f'str({part})'} + {newline})")
        scope.reset(mark)
    else:
        program.lines.append(f"{pad}{f}.write({text(program, scope)})")


def collect(program: Program, scope: Scope, depth: int) -> tuple[str, str]:
    """Create one to three holders and fill each of them in a loop. Returns the (name, kind) of one of them."""
    started = [start_holder(program, scope, depth) for _ in range(1 + int(program.random() * 2.4))]
    if not scope.lists:
        set_list(program, scope, depth)
    mark = scope.mark()
    loop_head(program, scope, depth)
    for holder in program.some(started, len(started)):
        choice = program.random()
        if choice < 0.25:
            program.pick(IN_LOOP)(program, scope, depth + 1)
        if choice < 0.65:
            grow_holder(program, scope, depth + 1, holder)
            continue
        program.lines.append(f"{PADS[depth + 1]}if {condition(program, scope)}:")
        grow_holder(program, scope, depth + 2, holder)
        if choice > 0.85:
            program.lines.append(f"{PADS[depth + 1]}else:")
            branch_body(program, scope, depth + 2)
    scope.reset(mark)
    return program.pick(started)


# What bodies are made of. A statement that is listed more often is chosen more often.
BLOCKS: tuple[Statement, ...] = (loop, loop, branch, branch, repeat, use_file)
IN_LOOP: tuple[Statement, ...] = (show, show, show, choose, set_flag, set_flag, introduce, change, change, swap, swap)
IN_BRANCH: tuple[Statement, ...] = (show, show, show, change, change, change, set_flag, introduce, choose, swap, swap)
ANY: tuple[Statement, ...] = (
    set_number, set_text, set_flag, set_flag, set_flag, set_flag, set_list, set_nested, set_nested, set_nested,
    set_nested, set_table, set_table, set_table, show, show, choose, choose, swap, swap, swap, swap, swap, swap, swap,
    swap, define_lambda, define_lambda, comprehend, loop, loop, branch, branch, repeat, repeat, repeat, use_file,
    use_file, use_file, use_file, collect, collect,
)  # fmt: skip


def body(program: Program, scope: Scope, depth: int, count: int) -> None:
    for _ in range(count):
        program.pick(ANY)(program, scope, depth)


def last_value(program: Program, scope: Scope) -> tuple[str, str]:
    """Something for a function to return, as (expression, kind), mostly a name in scope."""
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
