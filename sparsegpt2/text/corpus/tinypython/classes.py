"""Classes that take each field as an argument of the same name, with small methods."""

from __future__ import annotations

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.blocks import body
from sparsegpt2.text.corpus.tinypython.expressions import COMPARISONS, filled_message, number, text, value
from sparsegpt2.text.corpus.tinypython.functions import new_parameters, signature
from sparsegpt2.text.corpus.tinypython.program import PADS, Function, Program, Scope


def class_definition(program: Program) -> None:
    """Write a class for the program's subject."""
    thing = program.thing
    names = [field.name for field in program.fields]
    parent = "(object)" if program.random() < 0.05 else ""
    program.lines.append(f"class {program.class_name}{parent}:")
    if program.random() < 0.3:
        program.lines.append(f'    """A {thing.one} with {names[0]} and {names[1]}."""')
    program.lines.append(f"    def __init__(self, {signature(program, names)}):")
    for name in program.some(names, len(names)) if program.random() < 0.25 else names:
        program.lines.append(f"        self.{name} = {name}")
    if program.random() < 0.2:
        extra = program.pick(program.names["holder"])
        if extra not in names:
            program.lines.append(f"        self.{extra} = {program.pick(('[]', 'set()', '0', '{}', 'None'))}")
    for method in program.some(METHODS, 1 + int(program.random() * 3)):
        program.lines.append("")
        method(program)


def own_scope() -> Scope:
    """The scope of a method: it knows its object, `self`."""
    scope = Scope()
    scope.add("self", "object")
    return scope


def define(program: Program, name: str, parameters: list[tuple[str, str]], returns: str) -> None:
    """Record a method, so that the script can call it."""
    program.methods.append(Function(name, parameters, returns))


def get_field(program: Program) -> None:
    field = program.pick(program.fields)
    program.lines += [f"    def get_{field.name}(self):", f"        return self.{field.name}"]
    define(program, f"get_{field.name}", [], field.kind)


def set_field(program: Program) -> None:
    name, kind = program.pick(program.fields)
    program.lines += [f"    def set_{name}(self, {name}):", f"        self.{name} = {name}"]
    if program.random() < 0.2:
        program.lines.append("        return True")
    define(program, f"set_{name}", [(name, kind)], "nothing")


def describe(program: Program) -> None:
    name = program.pick(("__str__", "__str__", "__repr__", "describe", "to_text"))
    program.lines.append(f"    def {name}(self):")
    message = filled_message(program, own_scope())
    program.lines.append(f"        print({message})" if name == "describe" else f"        return {message}")
    if name == "describe":
        define(program, name, [], "nothing")


def ask(program: Program) -> None:
    field = program.pick(program.fields)
    name = f"is_{program.pick(program.names['flag'])}"
    program.lines.append(f"    def {name}(self):")
    asked = f"self.{field.name}"
    if field.kind == "number":
        asked += f" {program.pick(COMPARISONS)} {number(program, Scope())}"
    elif field.kind == "text":
        asked += f" == {text(program, Scope())}"
    elif field.kind == "flag" and program.random() < 0.5:
        asked += " == True"
    if program.random() < 0.5:
        program.lines.append(f"        return {asked}")
    else:
        program.lines += [f"        if {asked}:", "            return True", "        return False"]
    define(program, name, [], "flag")


def act(program: Program) -> None:
    """A method with a body like a function's."""
    scope = own_scope()
    parameters = new_parameters(program, scope) if program.random() < 0.6 else []
    names = signature(program, ["self", *(name for name, _ in parameters)])
    name = program.pick(words.VERBS)
    program.lines.append(f"    def {name}({names}):")
    body(program, scope, 2, 1)
    if program.random() < 0.4:
        returned = "True" if program.random() < 0.6 else f"self.{program.fields[0].name}"
        program.lines.append(f"        return {returned}")
    define(program, name, parameters, "nothing")


def grow_field(program: Program) -> None:
    """A method that changes a field: appends to a list, adds to a number or text, sets a flag."""
    name, kind = program.pick(program.fields)
    one = name[:-1] if kind == "list" else "amount" if kind == "number" else "word"
    if kind == "flag":
        program.lines += [f"    def set_{name}(self):", f"        self.{name} = True"]
        define(program, f"set_{name}", [], "nothing")
        return
    added = f"        self.{name}.append({one})" if kind == "list" else f"        self.{name} += {one}"
    made = f"add_{one if kind == 'list' else name}"
    program.lines += [f"    def {made}(self, {one}):", added]
    define(program, made, [(one, "text" if kind == "list" else kind)], "nothing")


METHODS = (get_field, set_field, describe, ask, act, grow_field)


# --- Objects --------------------------------------------------------------------------------------------------------


def instance(program: Program) -> str:
    """`Thing(...)` with a literal for each field."""
    return f"{program.class_name}({', '.join(value(program, Scope(), field.kind) for field in program.fields)})"


def make_objects(program: Program, scope: Scope, depth: int) -> None:
    """Create an object, a list of objects, or both, depending on the parameters of the program's functions."""
    thing, pad = program.thing, PADS[depth]
    taken = {name for defined in program.functions for name, _ in defined.parameters}
    some = thing.many in taken or (thing.one not in taken and program.random() < 0.3)
    if some:
        program.lines.append(f"{pad}{thing.many} = [")
        program.lines += [f"{pad}    {instance(program)}," for _ in range(2 + int(program.random() * 2))]
        program.lines.append(f"{pad}]")
        scope.add_list(thing.many, thing)
    if some and thing.one not in taken:
        return
    program.lines.append(f"{pad}{thing.one} = {instance(program)}")
    scope.add(thing.one, "object")
    for method in program.methods:
        if program.random() < 0.5:
            use_method(program, scope, depth, f"{thing.one}.{method.name}", method)


def use_method(program: Program, scope: Scope, depth: int, name: str, method: Function) -> None:
    made = f"{name}({', '.join(value(program, Scope(), kind) for _, kind in method.parameters)})"
    if method.returns == "flag":
        program.lines += [f"{PADS[depth]}if {made}:", f"{PADS[depth + 1]}print({filled_message(program, scope)})"]
    else:
        program.lines.append(PADS[depth] + (made if method.returns == "nothing" else f"print({made})"))
