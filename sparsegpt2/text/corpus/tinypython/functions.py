"""Functions: their names, parameters and bodies."""

from __future__ import annotations

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.blocks import body, collect, last_value, loop_head
from sparsegpt2.text.corpus.tinypython.expressions import condition, number, text, value
from sparsegpt2.text.corpus.tinypython.program import PADS, Function, Program, Scope, fresh
from sparsegpt2.text.corpus.tinypython.statements import comprehend, define_lambda, set_list, set_number, show

KINDS = ("number", "number", "text", "flag")
DEFAULTS = ("None", "None", "None", "None", "None", "None", "0", "1", "True", "False")


def function_name(program: Program, verbs: tuple[str, ...]) -> str:
    """A name such as `verb_noun`, one that is not taken if a few attempts find one."""
    for _ in range(6):
        choice = program.random()
        if choice < 0.4:
            noun = program.thing.many
        elif choice < 0.6:
            noun = program.thing.one
        elif choice < 0.75:
            noun = program.pick(program.fields).name
        else:
            noun = program.pick(words.NUMBERS if choice < 0.9 else words.HELPERS)
        name = noun if choice > 0.8 else f"{program.pick(verbs)}_{noun}"
        if name not in program.taken:
            break
    program.taken.add(name)
    return name


def new_parameters(program: Program, scope: Scope) -> list[tuple[str, str]]:
    """One to four parameters as (name, kind), added to the scope."""
    parameters: list[tuple[str, str]] = []
    if program.random() < 0.6:
        thing = program.pick(program.things)
        scope.add_list(thing.many, thing)
        parameters.append((thing.many, "list"))
    elif program.random() < 0.3:
        scope.add(program.thing.one, program.thing.kind)
        parameters.append((program.thing.one, program.thing.kind))
    for _ in range(int(program.random() * 3) + (not parameters)):
        kind = program.pick(KINDS)
        name = fresh(program, scope, kind)
        if name not in scope.used:
            scope.add(name, kind)
            parameters.append((name, kind))
    return parameters


def signature(program: Program, names: list[str], scope: Scope | None = None) -> str:
    """The parameters of a `def`. Sometimes the last ones get defaults; the scope notes which may be None."""
    if len(names) < 2 or program.random() > (0.1 if len(names) == 2 else 0.4):
        return ", ".join(names)
    plain = 1 + int(program.random() * max(1, len(names) - 2))  # with three names or more, at least two defaults
    defaults = ["None" if program.random() < 0.85 else program.pick(DEFAULTS) for _ in names[plain:]]
    if scope is not None:
        scope.optional += [name for name, default in zip(names[plain:], defaults, strict=True) if default == "None"]
    given = [f"{name}={default}" for name, default in zip(names[plain:], defaults, strict=True)]
    return ", ".join(names[:plain] + given)


def fill_optional(program: Program, scope: Scope, depth: int, parameters: list[tuple[str, str]]) -> None:
    """For some parameters that may be None, write `if name is None:` and assign a value."""
    for name, kind in parameters:
        if name in scope.optional and program.random() < 0.4:
            filled = text(program, Scope()) if kind == "text" else "[]" if kind == "list" else number(program, Scope())
            filled = "True" if kind == "flag" else filled
            program.lines += [f"{PADS[depth]}if {name} is None:", f"{PADS[depth + 1]}{name} = {filled}"]
            scope.optional.remove(name)


def docstring(program: Program, depth: int, name: str) -> None:
    if program.random() < 0.3:
        told = name.replace("_", " ").capitalize()
        end = program.pick(("", "", " of the list", " of the data", " from the input"))
        program.lines.append(f'{PADS[depth]}"""{told}{end}."""')


def function(program: Program) -> None:
    """Write a function that collects things, answers a question, computes a value, or only does something."""
    choice = program.random()
    if choice < 0.4:
        verbs = words.COLLECTING
    elif choice < 0.57:
        verbs = words.ASKING
    else:
        verbs = words.COMPUTING if choice < 0.9 else words.VERBS
    scope = Scope()
    name = function_name(program, verbs)
    parameters = new_parameters(program, scope) if program.random() > 0.2 else []
    names = signature(program, [parameter for parameter, _ in parameters], scope)
    program.lines.append(f"def {name}({names}):")
    docstring(program, 1, name)
    fill_optional(program, scope, 1, parameters)
    if not parameters:
        program.pick((set_list, set_number))(program, scope, 1)
    kind = "nothing"
    if choice < 0.4:
        kind = gather(program, scope)
    elif choice < 0.57:
        kind = search(program, scope)
    else:
        body(program, scope, 1, 2 + int(program.random() * 2))
        if choice < 0.9:
            returned, kind = last_value(program, scope)
            program.lines.append(f"    return {returned}")
    program.functions.append(Function(name, parameters, kind))


def gather(program: Program, scope: Scope) -> str:
    """Write a body that collects things in a loop or a comprehension. Returns the kind of what the body returns."""
    if program.random() < 0.15 and scope.lists:
        comprehend(program, scope, 1)
        program.lines.append(f"    return {program.lines[-1].split()[0]}")
        return "list"
    if program.random() < 0.1:
        define_lambda(program, scope, 1)
    returned, kind = collect(program, scope, 1)
    if program.random() < 0.3:
        show(program, scope, 1)
    program.lines.append(f"    return {returned}")
    return kind


def search(program: Program, scope: Scope) -> str:
    """Write a body that returns True (or False) once a condition holds, often in a loop, else the opposite."""
    found, missed = ("True", "False") if program.random() < 0.7 else ("False", "True")
    depth = 1
    mark = scope.mark()
    if scope.lists or program.random() < 0.3:
        loop_head(program, scope, 1)
        depth = 2
    program.lines.append(f"{PADS[depth]}if {condition(program, scope)}:")
    if program.random() < 0.2:
        show(program, scope, depth + 1)
    program.lines.append(f"{PADS[depth + 1]}return {found}")
    scope.reset(mark)
    program.lines.append(f"    return {missed}")
    return "flag"


# --- Calls ----------------------------------------------------------------------------------------------------------

RESULT_KINDS = {"flag": "flag", "number": "number", "count": "number", "text": "text"}


def call(program: Program, scope: Scope, defined: Function, depth: int) -> None:
    """Write a call of a function of the program, and use or store its result."""
    arguments = [name if name in scope.used else value(program, scope, kind) for name, kind in defined.parameters]
    made = f"{defined.name}({', '.join(arguments)})"
    pad = PADS[depth]
    if defined.returns == "nothing":
        program.lines.append(pad + made)
    elif defined.returns == "flag" and program.random() < 0.5:
        program.lines.append(f"{pad}if {made}:")
        show(program, scope, depth + 1)
    elif program.random() < 0.3:
        program.lines.append(f"{pad}print({made})")
    else:
        kind = RESULT_KINDS.get(defined.returns, "holder")
        name = fresh(program, scope, kind)
        program.lines.append(f"{pad}{name} = {made}")
        if kind != "holder":
            scope.add(name, kind)
        scope.used.add(name)
        if program.random() < 0.5:
            program.lines.append(f"{pad}print({name})")
