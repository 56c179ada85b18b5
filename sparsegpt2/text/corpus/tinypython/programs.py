"""Whole programs: classes and functions, and a script that uses them."""

from __future__ import annotations

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.blocks import body
from sparsegpt2.text.corpus.tinypython.classes import class_definition, make_objects
from sparsegpt2.text.corpus.tinypython.functions import call, function
from sparsegpt2.text.corpus.tinypython.program import Program, Scope
from sparsegpt2.text.corpus.tinypython.statements import set_list


def script(program: Program, depth: int) -> None:
    """Write the part that runs: some data, calls of the functions and methods, and a few more statements."""
    scope = Scope()
    if program.class_name:
        make_objects(program, scope, depth)
    else:
        set_list(program, scope, depth)
    for defined in program.functions:
        call(program, scope, defined, depth)
    body(program, scope, depth, 1 + int(program.random() * 3))


def program_lines(program: Program) -> list[str]:
    """Write a whole program and return its lines."""
    lines = program.lines
    if program.random() < 0.12:
        lines += [f"# {program.pick(words.VERBS).capitalize()} the {program.thing.many}", ""]
    if program.class_name:
        class_definition(program)
        lines += ["", ""]
    for _ in range(int(program.random() * 2.3) + (not program.class_name)):
        function(program)
        lines += ["", ""]
    ending = program.random()
    if ending < 0.1:
        lines.append(f"if __name__ == {program.quoted('__main__')}:")
        script(program, 1)
    elif ending < 0.25:
        lines.append("def main():")
        script(program, 1)
        lines += ["", "", "main()"]
    elif ending < 0.8 or len(lines) < 12:
        script(program, 0)
    else:
        del lines[-2:]
    return lines
