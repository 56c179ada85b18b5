"""Find everything that users can add: tasks, pruners, corpora, component methods, checks and readings.

A component method finds component circuits, a check tests how faithful a circuit is (docs/definitions.md), and a
reading makes predictions from a circuit and tests them on the model. Each of these things is defined in one file. It is
found in one of three ways:

- by name, if it is built in, if an installed package offers it (as an entry point of the group `sparsegpt2.pruners` and
  so on), or if this process has already loaded it from a file;
- by the path of its file, `my_pruner.py`, or `my_pruner.py:second` if the file defines several things;
- by `module:attribute`, for a module that Python can import.

Paths and modules are code that will run. So `Kind.resolve` is only for what a user typed, and a name that was read from
a file (a circuit, a row) goes to `Kind.named`, which accepts only plain names.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.usercode import OWN, line_of, load_file, told


@dataclass(frozen=True)
class Found:
    """The result of a look-up: a thing, and where it came from."""

    name: str
    """Its plain name, for rows, file names and later look-ups."""
    thing: Any
    """The object that the file defines, such as a pruner's `rank` or a task's `TASK`."""
    holder: Any
    """The module or object in which `thing` is defined. Other names that belong to the thing, such as a pruner's
    `Settings`, are looked for there. None if only the thing is known."""
    file: str = ""
    """The source file as the user named it; empty for built-in things and those defined in a notebook."""
    line: int = 1
    """The line of that file that defines the thing."""
    fingerprint: str = ""
    """16 hex digits of a hash of the source file, so that an edited file counts as another thing; empty for built-in
    things."""

    def mistake(self, what: str) -> UserError:
        """The error for a mistake in the thing that shows only when the thing is used.

        The message has the file, the line of the thing's definition, and `what`.
        """
        return UserError(f"{self.file}, line {self.line}: {what}" if self.file else f"{self.name}: {what}")


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of thing that users can add, such as pruners."""

    what: str
    """The name of the kind in messages, in the singular: `pruner`."""
    group: str
    """The kind's group of entry points: `sparsegpt2.pruners`."""
    attribute: str
    """The name that a file of this kind must define or, if there is `held`, the decorator that marks the things in a
    file."""
    flaw: Callable[[Any, Any], str]
    """(thing, holder) -> what is wrong with the thing, as the end of a sentence that begins with its name; empty if
    nothing is."""
    packages: tuple[str, ...]
    """Packages whose modules define the built-in things."""
    held: Callable[[ModuleType], dict[str, Any]] | None = None
    """Module -> the things that it defines, by name, if a file may define several; None if a file defines only
    `attribute`."""
    may_shadow: bool = False
    """Whether a user's file may have the name of a built-in thing. It may for tasks, because rows of results
    distinguish the two."""
    introduced: dict[str, Found] = field(default_factory=dict)
    """The things of users that this process has loaded, by name."""

    # --- Known names -------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of the built-in things, sorted within each package."""
        if self.held is None:
            return list(self._modules())
        return sorted(
            name for module in self._modules().values() for name in self.held(importlib.import_module(module))
        )

    def installed(self) -> list[str]:
        """Names that installed packages offer and that are not built in, sorted."""
        return sorted({point.name for point in entry_points(group=self.group)} - set(self.names()))

    def known(self) -> list[str]:
        """Every name that `named` finds, built-in ones first."""
        return list(dict.fromkeys([*self.names(), *self.installed(), *sorted(self.introduced)]))

    # --- Look-up ----------------------------------------------------------------------------------------------------

    def resolve(self, typed: str) -> Found:
        """The thing that a user named: by name, path, `path:attribute` or `module:attribute`. The file's code is run.

        After that, this process also finds a user's own thing by its plain name. `UserError` for an unknown name, and
        for a mistake in the file, with its line.
        """
        path, attribute = split_path(typed)
        if path is not None:
            found = self._from_file(typed, path, attribute)
        elif ":" in typed:
            module, _, attribute = typed.partition(":")
            with _working_folder_last():
                found = self._from_module(typed, module, attribute, name_of(typed, self.attribute))
        else:
            return self.named(typed)
        if found.fingerprint:
            if not self.may_shadow and found.name in self.names():
                raise UserError(
                    f"{typed}: {found.name!r} is the name of a built-in {self.what}; give yours another name"
                )
            self.introduced[found.name] = found
        return found

    def named(self, name: str) -> Found:
        """The thing of that plain name: built in, installed, or loaded before. `UserError` for paths and modules."""
        if not is_plain(name):
            raise UserError(
                f"{name!r} is not the plain name of a {self.what} but a path or module, and "
                "code is run only if you type its name yourself"
            )
        found = self._built_in(name) or self.introduced.get(name)
        if found is not None:
            return found
        for point in entry_points(group=self.group):
            if point.name == name:
                module, _, attribute = point.value.partition(":")
                attribute = attribute.split("[")[0].strip()
                self.introduced[name] = self._from_module(point.value, module.strip(), attribute, name)
                return self.introduced[name]
        raise UserError(unknown(self.what, name, self.known(), "or give your own as FILE.py or MODULE:ATTRIBUTE"))

    def introduce(self, name: str, thing: Any) -> None:
        """Register a thing that was defined in this process, for example in a notebook, as `name`."""
        module = sys.modules.get(getattr(thing, "__module__", None) or "")
        file = getattr(module, "__file__", None) or ""
        self.introduced[name] = Found(name, thing, None, file, 1, _fingerprint(module) if module and file else "")

    def fingerprint(self, name: str) -> str:
        """The fingerprint of the thing called `name` in this process; empty for built-in things."""
        return "" if name in self.names() or name not in self.introduced else self.introduced[name].fingerprint

    # --- Where things come from -------------------------------------------------------------------------------------

    def _modules(self) -> dict[str, str]:
        """Short name -> full name, of the modules that define built-in things."""
        return {
            module.name: f"{package}.{module.name}"
            for package in self.packages
            for module in sorted(
                pkgutil.iter_modules(importlib.import_module(package).__path__), key=lambda one: one.name
            )
            if not module.name.startswith("_")
        }

    def _built_in(self, name: str) -> Found | None:
        modules = self._modules()
        if self.held is None:
            return self._take(importlib.import_module(modules[name]), "", name) if name in modules else None
        for module in map(importlib.import_module, modules.values()):
            if name in (things := self.held(module)):
                return Found(name, things[name], module)
        return None

    def _from_file(self, typed: str, path: Path, attribute: str) -> Found:
        if not path.is_file():
            raise UserError(f"the {self.what} file {path} does not exist")
        for name, module in self._modules().items():  # the path of a built-in file means the built-in thing
            spec = importlib.util.find_spec(module) if name == path.stem and not attribute else None
            if spec is not None and spec.origin and Path(spec.origin).resolve() == path.resolve():
                return self.named(name)
        return self._take(load_file(path), attribute, name_of(typed, self.attribute), str(path))

    def _from_module(self, typed: str, module: str, attribute: str, name: str) -> Found:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(f"{error.name}.")):
                raise UserError(f"{typed!r} is not a {self.what}: there is no module {error.name!r}") from None
            raise _in_module(module, error) from error
        except Exception as error:
            raise _in_module(module, error) from error
        file = getattr(found, "__file__", None) or module
        OWN[file] = file
        return self._take(found, attribute, name, file)

    def _take(self, module: ModuleType, attribute: str, name: str, file: str = "") -> Found:
        """Find the thing in a module and check it. file: the file's name in messages; empty for built-in things."""
        holder, thing, label = self._pick(module, attribute, file)
        if wrong := self.flaw(thing, holder):
            raise UserError(f"{_place(module, label, file)}: {label} {wrong}")
        if not file:
            return Found(name, thing, holder)
        return Found(name, thing, holder, file, line_of(module.__file__ or "", label), _fingerprint(module))

    def _pick(self, module: ModuleType, attribute: str, file: str) -> tuple[Any, Any, str]:
        """Find the thing that `attribute` names in a module. Returns (holder, thing, its name in the module)."""
        if not attribute and self.held is not None:
            things = self.held(module)
            if len(things) != 1:
                have = f"marks {', '.join(sorted(things))}; choose one, as FILE.py:NAME" if things else "marks none"
                raise UserError(
                    f"{_place(module, '', file)}: a {self.what} file marks one thing with @{self.attribute}, but this "
                    f"file {have}"
                )
            thing = next(iter(things.values()))
            return module, thing, getattr(thing, "__name__", "")
        holder: Any = None
        thing = module
        for part in (attribute or self.attribute).split("."):
            if not hasattr(thing, part):
                public = {name.lower(): name for name in vars(module) if not name.startswith("_")}
                near = difflib.get_close_matches(part, public.values(), 1)
                near = near or [public[name] for name in difflib.get_close_matches(part.lower(), public, 1)]
                hint = f"; did you mean {near[0]}?" if near else ""
                place = _place(module, near[0] if near else "", file)
                raise UserError(f"{place}: this {self.what} file must define {part}, but does not{hint}")
            holder, thing = thing, getattr(thing, part)
        if attribute not in ("", self.attribute) and hasattr(thing, self.attribute):  # a class that holds the thing
            holder, thing = thing, getattr(thing, self.attribute)
        elif attribute not in ("", self.attribute):
            holder = None  # other names in the module belong to another thing
        return holder, thing, attribute or self.attribute


# --- Names ----------------------------------------------------------------------------------------------------------


def is_plain(name: str) -> bool:
    """Whether `name` is a plain name: no path, no `.py`, no `:`."""
    return not name.endswith(".py") and not any(sign in name for sign in ":/\\")


def split_path(typed: str) -> tuple[Path | None, str]:
    """(path, attribute) of `my.py` or `my.py:attribute`; the path is None if `typed` does not name a .py file."""
    path, colon, attribute = typed.rpartition(":")
    if colon and path.endswith(".py") and attribute.replace(".", "").isidentifier():
        return Path(path).expanduser(), attribute
    return (Path(typed).expanduser(), "") if typed.endswith(".py") else (None, "")


def name_of(typed: str, usual: str = "") -> str:
    """The plain name of what was typed: `a/my.py` -> `my`, `a/my.py:two` -> `my.two`, `package.my:two` -> `my.two`.

    usual: the attribute that every file of this kind defines, which is left out of the name.
    """
    if is_plain(typed):
        return typed
    path, attribute = split_path(typed)
    if path is not None:
        stem = path.stem
    else:
        module, _, attribute = typed.rpartition(":")
        stem = Path(module.replace("\\", "/")).name.rpartition(".")[2]
    return stem if attribute in ("", usual) else f"{stem}.{attribute}"


def unknown(what: str, name: str, known: Iterable[str], more: str = "", where: str = "") -> str:
    """The sentence for an unknown name: it lists the known names, and suggests a similar one if there is any.

    what: the kind of thing. more: what else the user can do. where: where the name was looked for.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, 1, cutoff=0.7)
    listed = f"there are {', '.join(known)}" if known else "none is known"
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {what} {name!r}{where}; {listed}" + (f", {more}" if more else "") + hint


def takes(function: Any, count: int) -> bool:
    """Whether `function` can be called with `count` positional arguments."""
    import inspect

    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a built-in function without a signature: only a call could tell
        return True
    return True


@contextmanager
def _working_folder_last() -> Iterator[None]:
    """Let imports find modules in the working folder too, but only those that are found nowhere else."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


def _in_module(module: str, error: BaseException) -> UserError:
    """The error for a module that cannot be imported because of `error`."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # its parent package cannot be imported either
        spec = None
    file = (spec and spec.origin) or module
    return UserError(told(error, file, file))


_FINGERPRINTS: dict[str, str] = {}


def _fingerprint(module: ModuleType) -> str:
    """16 hex digits of a hash of a module's source at the first call.

    Later edits of the file do not change the code that is loaded, so they do not change the fingerprint.
    """
    if module.__name__ not in _FINGERPRINTS:
        file = Path(getattr(module, "__file__", None) or "")
        content = file.read_bytes() if file.is_file() else module.__name__.encode()
        _FINGERPRINTS[module.__name__] = hashlib.sha256(content).hexdigest()[:16]
    return _FINGERPRINTS[module.__name__]


def _place(module: ModuleType, name: str, shown: str = "") -> str:
    """`file, line 3`: where a module defines `name`; line 1 if it does not. shown: the file's name in the message."""
    source = getattr(module, "__file__", None) or ""
    return f"{shown or source}, line {line_of(source, name)}"
