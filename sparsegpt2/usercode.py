"""Load users' files that add a task, a pruner and so on, and report mistakes in them with the file and the line."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, TracebackType

from sparsegpt2.errors import UserError

PRIVATE = "_sparsegpt2_file"
"""Prefix of the names, in `sys.modules`, of modules that were loaded from users' files."""


OWN: dict[str, str] = {}
"""Path of each user's source file that this process has loaded -> the path as the user wrote it, for messages."""


def load_file(path: str | Path) -> ModuleType:
    """The module in a .py file. A file that was loaded before is run again only if its content has changed.

    The module is entered in `sys.modules`, where dataclasses and pickle look for it. If the file raises an exception,
    that is a `UserError` with the file and the line.
    """
    path = Path(path).expanduser()
    place = path.resolve()
    try:
        source = place.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(str(place).encode() + b"\0" + source).hexdigest()[:12]
    name = f"{PRIVATE}_{digest}_{place.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None  # a path that ends in .py always has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    OWN[str(place)] = str(path)
    try:
        # compiled here, because the loader's cache misses an edit within the same second
        exec(compile(source, str(place), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (Exception, SystemExit)):
            raise UserError(told(error, str(place), str(path))) from error
        raise
    return module


def sentence(error: BaseException) -> str | None:
    """A sentence about an exception that passed through a user's file; None for other exceptions.

    An example is `mine.py, line 7: ValueError: boom`. If the exception passed through several such files, the sentence
    names the innermost one.
    """
    trace, shown = error.__traceback__, None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in OWN:
            shown = told(error, file, OWN[file])
        trace = trace.tb_next
    return shown


def told(error: BaseException, file: str, shown: str) -> str:
    """A sentence such as `mine.py, line 7: ValueError: boom`.

    The line is the innermost line of `file` in the traceback of `error`. shown: the name of the file in the sentence.
    """
    what = " ".join(str(error).split())
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{shown}, line {error.lineno or 1}: {kind}: {error.msg}"
    said = what if kind == "UserError" else f"{kind}: {what}" if what else kind
    return f"{shown}, line {innermost(error.__traceback__, file) or 1}: {said}"


def innermost(trace: TracebackType | None, file: str) -> int | None:
    """The last line of `file` in a traceback; None if the file is not in it."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def line_of(file: str, name: str) -> int:
    """The line on which a source file defines `name`, which may be `Class.method`; 1 if it does not define it."""
    try:
        body = ast.parse(Path(file).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return 1
    line = 1
    for part in name.split(".") if name else ():
        node = next((node for node in reversed(body) if part in _defines(node)), None)
        if node is None:
            break
        line, body = node.lineno, getattr(node, "body", [])
    return line


def _defines(node: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
