"""Functions, classes, scripts, and whole programs made of them."""

from __future__ import annotations

from train.corpus.tinypython import words
from train.corpus.tinypython.blocks import body, collect, last_value, loop_head
from train.corpus.tinypython.expressions import (
    condition,
    filled_message,
    number,
    short_list,
    text,
    value,
)
from train.corpus.tinypython.program import PADS, Function, Program, Scope, fresh
from train.corpus.tinypython.statements import show
from train.corpus.tinypython.words import Thing

# --- Functions ------------------------------------------------------------------------------------------------------


def function_name(program: Program) -> str:
    verb = program.pick(words.VERBS)
    for _ in range(6):
        choice = program.random()
        if choice < 0.4:
            name = f"{verb}_{program.thing.many}"
        elif choice < 0.6:
            name = f"{verb}_{program.thing.one}"
        elif choice < 0.8:
            name = f"{verb}_{program.pick(program.fields).name}"
        else:
            name = f"{verb}_{program.pick(words.NUMBERS)}"
        if name not in program.taken:
            break
        verb = program.pick(words.VERBS)
    program.taken.add(name)
    return name


def new_parameters(program: Program, scope: Scope) -> list[tuple[str, str]]:
    """One to four parameters, made known to the scope."""
    parameters: list[tuple[str, str]] = []
    if program.chance(0.6):
        thing = program.pick(program.things)
        scope.add_list(thing.many, thing)
        parameters.append((thing.many, "list"))
    elif program.chance(0.3):
        scope.add(program.thing.one, program.thing.kind)
        parameters.append((program.thing.one, program.thing.kind))
    for _ in range(int(program.random() * 3) + (not parameters)):
        kind, pool = program.pick(
            (("number", words.NUMBERS), ("number", words.NUMBERS), ("text", words.TEXTS), ("flag", words.FLAGS))
        )
        name = fresh(program, scope, pool)
        if name in scope.used:
            continue
        scope.add(name, kind)
        parameters.append((name, kind))
    return parameters


def signature(program: Program, names: list[str]) -> str:
    """Names joined for a `def`; in a quarter of them the last ones have defaults."""
    if len(names) > 1 and program.random() < 0.3:
        plain = 1 + int(program.random() * (len(names) - 1))
        default = "None" if program.random() < 0.85 else program.pick(("0", "1", "True", "False", "10"))
        names = names[:plain] + [f"{name}={default}" for name in names[plain:]]
    return ", ".join(names)


def docstring(program: Program, depth: int, name: str) -> None:
    if program.random() < 0.3:
        told = name.replace("_", " ").capitalize()
        end = program.pick(("", "", " of the list", " in the data", " from the input"))
        program.lines.append(f'{PADS[depth]}"""{told}{end}."""')


def function(program: Program) -> None:
    scope = Scope()
    name = function_name(program)
    parameters = new_parameters(program, scope)
    program.lines.append(f"def {name}({signature(program, [parameter for parameter, _ in parameters])}):")
    docstring(program, 1, name)
    choice = program.random()
    if choice < 0.35:
        returned, kind = collect(program, scope, 1)
        if program.chance(0.3):
            show(program, scope, 1)
    elif choice < 0.55:
        returned, kind = search(program, scope), "flag"
    else:
        body(program, scope, 1, 1 + int(program.random() * 3))
        returned, kind = last_value(program, scope)
    if choice < 0.9:
        program.lines.append(f"    return {returned}")
    else:
        kind = "nothing"
    program.functions.append(Function(name, parameters, kind))


def search(program: Program, scope: Scope) -> str:
    """A loop that returns True (or False) as soon as something holds; returns what the end returns."""
    found, missed = ("True", "False") if program.random() < 0.7 else ("False", "True")
    if scope.lists or program.random() < 0.3:
        mark = scope.mark()
        loop_head(program, scope, 1)
        program.lines.append(f"        if {condition(program, scope)}:")
        program.lines.append(f"            return {found}")
        scope.reset(mark)
    else:
        program.lines.append(f"    if {condition(program, scope)}:")
        if program.chance(0.3):
            show(program, scope, 2)
        program.lines.append(f"        return {found}")
    return missed


# --- Classes --------------------------------------------------------------------------------------------------------


def class_definition(program: Program) -> None:
    thing = program.thing
    fields = program.fields
    name = thing.one.capitalize()
    program.lines.append(f"class {name}:")
    if program.random() < 0.3:
        program.lines.append(f'    """A {thing.one} with {fields[0].name} and {fields[1].name}."""')
    names = [field.name for field in fields]
    program.lines.append(f"    def __init__(self, {signature(program, names)}):")
    order = program.some(names, len(names)) if program.random() < 0.25 else names
    for field_name in order:
        program.lines.append(f"        self.{field_name} = {field_name}")
    if program.random() < 0.2:
        extra = program.pick(words.HOLDERS)
        if extra not in names:
            program.lines.append(f"        self.{extra} = {program.pick(('[]', 'set()', '0', '{}', 'None'))}")
    for method_name in program.some(METHODS, 1 + int(program.random() * 3)):
        program.lines.append("")
        METHOD[method_name](program)
    program.classes.append((name, fields))


def own_scope() -> Scope:
    scope = Scope()
    scope.objects.append("self")
    scope.used.add("self")
    return scope


def get_field(program: Program) -> None:
    name = program.pick(program.fields).name
    program.lines += [f"    def get_{name}(self):", f"        return self.{name}"]


def set_field(program: Program) -> None:
    name = program.pick(program.fields).name
    program.lines += [f"    def set_{name}(self, {name}):", f"        self.{name} = {name}"]
    if program.chance(0.2):
        program.lines.append("        return True")


def describe(program: Program) -> None:
    scope = own_scope()
    head = program.pick(("__str__", "__str__", "__repr__", "describe", "to_text"))
    program.lines.append(f"    def {head}(self):")
    if head == "describe":
        program.lines.append(f"        print({filled_message(program, scope)})")
    else:
        program.lines.append(f"        return {filled_message(program, scope)}")


def ask(program: Program) -> None:
    scope = own_scope()
    field = program.pick(program.fields)
    program.lines.append(f"    def is_{program.pick(words.FLAGS)}(self):")
    if field.kind == "number":
        program.lines.append(f"        return self.{field.name} > {number(program, Scope())}")
    elif field.kind == "text":
        program.lines.append(f"        return self.{field.name} == {text(program, Scope())}")
    else:
        program.lines.append(f"        if {condition(program, scope)}:")
        program.lines += ["            return True", "        return False"]


def act(program: Program) -> None:
    scope = own_scope()
    program.lines.append(f"    def {program.pick(words.VERBS)}(self{act_parameters(program, scope)}):")
    body(program, scope, 2, 1)
    if program.chance(0.4):
        program.lines.append(
            "        return True" if program.chance(0.6) else f"        return self.{program.fields[0].name}"
        )


def act_parameters(program: Program, scope: Scope) -> str:
    names = [name for name, _ in new_parameters(program, scope)] if program.chance(0.6) else []
    return "".join(f", {name}" for name in signature(program, names).split(", ")) if names else ""


def grow_field(program: Program) -> None:
    field = program.pick(program.fields)
    if field.kind == "number":
        amount = "value" if field.name == "value" else "amount"
        program.lines += [f"    def add_{field.name}(self, {amount}):", f"        self.{field.name} += {amount}"]
    elif field.kind == "list":
        one = field.name[:-1]
        program.lines += [f"    def add_{one}(self, {one}):", f"        self.{field.name}.append({one})"]
    elif field.kind == "flag":
        program.lines += [f"    def set_{field.name}(self):", f"        self.{field.name} = True"]
    else:
        program.lines += [f"    def add_{field.name}(self, text):", f"        self.{field.name} += text"]


METHOD = {
    "get": get_field,
    "set": set_field,
    "describe": describe,
    "ask": ask,
    "act": act,
    "grow": grow_field,
}
METHODS = tuple(METHOD)


# --- Scripts and programs -------------------------------------------------------------------------------------------


def call(program: Program, scope: Scope, defined: Function, depth: int) -> None:
    arguments = ", ".join(argument(program, scope, name, kind) for name, kind in defined.parameters)
    made = f"{defined.name}({arguments})"
    pad = PADS[depth]
    if defined.returns == "nothing":
        program.lines.append(pad + made)
    elif defined.returns == "flag" and program.random() < 0.5:
        program.lines.append(f"{pad}if {made}:")
        show(program, scope, depth + 1)
    elif program.random() < 0.3:
        program.lines.append(f"{pad}print({made})")
    else:
        kind = {"flag": "flag", "number": "number", "count": "number", "text": "text"}.get(defined.returns)
        pool = {"flag": words.FLAGS, "number": words.NUMBERS, "text": words.TEXTS}.get(kind or "", words.HOLDERS)
        name = fresh(program, scope, pool)
        program.lines.append(f"{pad}{name} = {made}")
        if kind:
            scope.add(name, kind)
        if program.random() < 0.5:
            program.lines.append(f"{pad}print({name})")


def argument(program: Program, scope: Scope, name: str, kind: str) -> str:
    if name in scope.used:
        return name
    return value(program, scope, kind)


def make_things(program: Program, scope: Scope, depth: int) -> None:
    """Objects of the program's class, alone or in a list."""
    name, fields = program.classes[-1]
    thing = program.thing
    pad = PADS[depth]

    def instance() -> str:
        return f"{name}({', '.join(value(program, Scope(), field.kind) for field in fields)})"

    if program.random() < 0.4:
        program.lines.append(f"{pad}{thing.many} = [")
        program.lines += [f"{pad}    {instance()}," for _ in range(2 + int(program.random() * 2))]
        program.lines.append(f"{pad}]")
        scope.add_list(thing.many, thing._replace(kind="object"))
    else:
        program.lines.append(f"{pad}{thing.one} = {instance()}")
        scope.add(thing.one, "object")


def make_list(program: Program, scope: Scope, depth: int) -> None:
    thing: Thing = program.pick(program.things)
    if thing.many in scope.used:
        return
    program.lines.append(f"{PADS[depth]}{thing.many} = {short_list(program, thing)}")
    scope.add_list(thing.many, thing._replace(kind="number") if thing.kind == "object" else thing)


def script(program: Program, depth: int) -> None:
    """The part that runs: some data, calls of what was defined, and a little more."""
    scope = Scope()
    if program.classes:
        make_things(program, scope, depth)
    else:
        make_list(program, scope, depth)
    for defined in program.functions:
        call(program, scope, defined, depth)
    body(program, scope, depth, 1 + int(program.random() * 3))


def program_lines(program: Program) -> list[str]:
    """Write a whole program: a comment, classes, functions, a script."""
    lines = program.lines
    if program.random() < 0.12:
        lines += [f"# {program.pick(words.VERBS).capitalize()} the {program.thing.many}", ""]
    choice = program.random()
    if choice < 0.45:
        class_definition(program)
        lines += ["", ""]
    for _ in range(int(program.random() * 2.3) + (choice >= 0.45)):
        function(program)
        lines += ["", ""]
    ending = program.random()
    if ending < 0.15:
        lines.append(f"if __name__ == {program.quoted('__main__')}:")
        script(program, 1)
    elif ending < 0.75 or len(lines) < 10:
        script(program, 0)
    else:
        del lines[-2:]
    return lines
