"""The settings of a command, and their values from YAML files and flags.

parser = Parser("prune MODEL --task NAME", "Find the circuit of one task in one model.")
parser.positional("model", "A model or a run.")
parser.add("task", str, required=True, help="The task.")
parser.add_settings(PruneConfig)
parser.front("Circuit", task="Name of a task.", target_loss="Loss that the circuit may have, in nats.")
settings = parser.parse(arguments)
config = settings_from(settings, PruneConfig)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import Any, TypeVar, get_type_hints

from sparsegpt2 import configs
from sparsegpt2.errors import UserError
from sparsegpt2.settings.values import did_you_mean, parse_yaml, shown, value_of
from sparsegpt2.settings.yaml_file import SUFFIXES, read_yaml

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Option:
    """One setting of a command."""

    name: str
    """Dotted, such as `model.d_model`; the flag is `--` and the name."""
    kind: Any
    """The type of its value, as an annotation."""
    default: Any = None
    help: str = ""
    """What it means; empty if `owner` documents it."""
    owner: type | None = None
    """The dataclass whose field it is; None for a setting that was added alone."""
    required: bool = False
    metavar: str = ""

    @property
    def short(self) -> str:
        """The last part of the name."""
        return self.name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Positional:
    """An argument that is given without a flag."""

    name: str
    help: str
    metavar: str
    many: bool
    required: bool

    @property
    def article(self) -> str:
        """Its name with an article, for messages: `a model`."""
        word = self.metavar.lower().replace("|", " or a ")
        return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


class HelpAsked(Exception):
    """Raised when the user asks for help instead of running the command; not a mistake."""

    def __init__(self, parser: Parser, *, all: bool) -> None:
        super().__init__(parser.usage)
        self.parser, self.all = parser, all


class Parser:
    """The settings of one command. A user's mistake is a `UserError`."""

    def __init__(self, usage: str, description: str) -> None:
        """usage: how to call the command, without the program's name: `prune MODEL --task NAME`."""
        self.usage, self.description = f"sparsegpt2 {usage}", description
        self.command = usage.split()[0]
        self.options: dict[str, Option] = {}
        self.positionals: list[Positional] = []
        self.fronts: dict[str, dict[str, str]] = {}
        """Title -> (setting -> its line): the content of the short help."""
        self.aliases: dict[str, str] = {}
        """Other name -> the name of the setting or positional that it means."""
        self.shorthands: dict[str, tuple[str, str, dict[str, Any]]] = {}
        """Short setting, such as `path` -> (setting, field, group). It stands for a list with one group, which becomes
        the value of `setting`, such as `corpora`. It sets `field` of that group; `group` has the other fields."""
        self.groups: dict[str, type] = {}
        """Dotted name -> the dataclass that is made from the settings below that name."""
        self.note = ""
        """The last line of the short help."""
        self.reads_files = False

    # --- Which settings there are -----------------------------------------------------------------------------------

    def positional(
        self, name: str, help: str, *, metavar: str = "", many: bool = False, required: bool = True, alias: str = ""
    ) -> None:
        """Add an argument without a flag: what the command works on. Only the last may be `many`; its value is a list.

        alias: a flag that can be used instead.
        """
        self.positionals.append(Positional(name, help, metavar or name.upper(), many, required))
        if alias:
            self.aliases[alias] = name

    def add(
        self,
        name: str,
        kind: Any,
        default: Any = None,
        *,
        help: str,
        metavar: str = "",
        required: bool = False,
        aliases: Iterable[str] = (),
    ) -> None:
        """Add one setting of the type `kind`."""
        self.options[name] = Option(name, kind, default, help, None, required, metavar)
        self.aliases.update(dict.fromkeys(aliases, name))

    def add_settings(self, kind: type, prefix: str = "", skip: Iterable[str] = ()) -> None:
        """Add a setting for each field of the dataclass `kind` (nested ones have dotted names), and accept YAML files.

        With a `prefix`, the parsed settings hold an object of `kind` under that name. Without one they hold each field
        under its own name, and `settings_from` makes the object. A field's metadata may have an older name of the flag:
        `{"alias": "old_name"}`. If the field is a list of groups, its metadata may have short settings, each of which
        stands for a list of one group and sets one field of that group:
        `{"shorthands": {"path": "Its help."}, "group": {"name": "files"}}` makes `path: src` mean
        `[{name: files, path: src}]`.
        """
        self.reads_files = True
        if prefix:
            self.groups[prefix] = kind
        hints = get_type_hints(kind)
        for field in fields(kind):
            if field.name in skip:
                continue
            name = f"{prefix}.{field.name}" if prefix else field.name
            if is_dataclass(hints[field.name]):
                self.add_settings(hints[field.name], name)
                continue
            self.options[name] = Option(name, hints[field.name], _default(field), owner=kind)
            for short, text in field.metadata.get("shorthands", {}).items():
                written = f"{prefix}.{short}" if prefix else short
                self.options[written] = Option(written, str, help=text)
                self.shorthands[written] = name, short, field.metadata["group"]
            if older := field.metadata.get("alias"):
                self.aliases[f"{prefix}.{older}" if prefix else older] = name

    def alias(self, **names: str) -> None:
        """Add other names for settings: `alias(task="tasks")`."""
        self.aliases.update(names)

    def front(self, title: str, texts: Mapping[str, str] | None = None, **more: str) -> None:
        """Add a group to the short help, which has a line for each of the settings that people use most."""
        self.fronts[title] = {**(texts or {}), **more}

    # --- Their values -----------------------------------------------------------------------------------------------

    def parse(self, arguments: list[str]) -> SimpleNamespace:
        """The value of every setting: from its flag, else from the last YAML file that has it, else its default.

        Raises `HelpAsked` for `--help` and `--help-all`; the function that runs commands prints the help then.
        """
        for ask in ("--help-all", "--help", "-h"):
            if ask in arguments:
                raise HelpAsked(self, all=ask == "--help-all")
        flags, words, files = self._split(arguments)
        given: dict[str, tuple[Any, str]] = {}
        for file in files:
            self._take(read_yaml(configs.find(file)), "", file, given)
        for name, value in flags:
            if name in self.groups:
                self._take(_group(value, f"--{name}"), f"{name}.", f"--{name}", given)
            else:
                self._enter(name, value, f"--{name}", given)
        values = {
            name: value_of(value, self.options[name].kind, where)
            for name, (value, where) in given.items()
            if name in self.options
        }
        works_on = self._positional_values(words, given)
        for option in self.options.values():
            if option.required and not values.get(option.name):
                raise UserError(f"{self.command} needs --{option.name} {_metavar(option)}: {self.usage}")
        return SimpleNamespace(**works_on, **self._objects(values))

    def _split(self, arguments: list[str]) -> tuple[list[tuple[str, Any]], list[str], list[str]]:
        """(flags with their values, words without a flag, YAML files)."""
        flags: list[tuple[str, Any]] = []
        words: list[str] = []
        files: list[str] = []
        rest = list(arguments)
        while rest:
            argument = rest.pop(0)
            if not argument.startswith("-") or argument == "-":
                (files if self.reads_files and configs.is_config(argument) else words).append(argument)
                continue
            written, equals, value = argument.partition("=")
            name, switch = self._setting(written)
            if equals:
                flags.append((name, value))
            elif switch is not None:  # a yes-or-no setting: `--evidence`, `--no-evidence`, `--evidence true`
                spoken = bool(rest) and switch and rest[0].lower() in ("true", "false")
                flags.append((name, rest.pop(0) if spoken else switch))
            elif not rest or rest[0].startswith("--"):
                raise UserError(f"{written} needs a value")
            elif name == "config":
                files.append(rest.pop(0))
            else:
                flags.append((name, rest.pop(0)))
        return flags, words, files

    def _setting(self, written: str) -> tuple[str, bool | None]:
        """(the setting that a flag names, value). The value is yes or no, or None if the setting is of another type."""
        name = self._known(written.lstrip("-"))
        if name is not None and written.startswith("--"):
            yes_no = name in self.options and self.options[name].kind is bool
            return name, True if yes_no else None
        if written.startswith(("--no-", "--no_")):
            name = self._known(written[len("--no-") :])
            if name in self.options and self.options[name].kind is bool:
                return name, False
        if self.reads_files and written == "--config":
            return "config", None
        hint = self._hint(written.lstrip("-"), "--")
        hint = hint or f"; sparsegpt2 {self.command} --help-all lists them"
        raise UserError(f"{self.command} has no setting {written}{hint}")

    def _known(self, name: str) -> str | None:
        """The setting, group or positional with that name or alias, where `-` means `_`; None if there is none."""
        name = name.replace("-", "_")
        name = self.aliases.get(name, name)
        flagged = [one for one in self.aliases.values() if one not in self.options]  # positionals with a flag
        return name if name in self.options or name in self.groups or name in flagged else None

    def _hint(self, word: str, dashes: str) -> str:
        """`; did you mean NAME?` with the setting whose name, or its last part, is most similar; else empty.

        dashes: what is written before the name, `--` for a flag.
        """
        word = word.replace("-", "_")
        by_last = {option.short: name for name, option in self.options.items()} | {name: name for name in self.options}
        groups = {name: name for name in self.groups}
        names = by_last | groups | self.aliases
        hint = did_you_mean(word, names)
        if not hint:
            return ""
        close = hint.removeprefix("; did you mean ").removesuffix("?")
        return f"; did you mean {dashes}{names[close]}?"

    def _take(self, values: Mapping[Any, Any], prefix: str, source: str, given: dict[str, tuple[Any, str]]) -> None:
        """Enter the settings in a nested mapping into `given`, under dotted names.

        prefix: the dotted name of the group that has these settings, with a dot at its end. source: the file or flag
        that they come from.
        """
        for key, value in values.items():
            name = self._known(f"{prefix}{key}")
            where = f"{prefix}{key} in {source}" if not source.startswith("--") else f"{prefix}{key}"
            if name is None:
                hint = self._hint(f"{prefix}{key}", "")
                raise UserError(f"{where} is not a setting of {self.command}{hint}")
            if value is None and not (name in self.options and value_allowed_empty(self.options[name].kind)):
                raise UserError(f"{where} has no value; give one, or leave the line out")
            if name in self.groups:
                if not isinstance(value, dict):
                    raise UserError(f"{where} needs settings by name, such as {{name: value}}, not {shown(value)}")
                self._take(value, f"{name}.", source, given)
            else:
                self._enter(name, value, where, given)

    def _enter(self, name: str, value: Any, where: str, given: dict[str, tuple[Any, str]]) -> None:
        """Enter one value into `given`, in place of an earlier one. A short setting changes one field of its group."""
        if name in self.shorthands:
            name, field, group = self.shorthands[name]
            earlier = given[name][0] if name in given else None
            if isinstance(earlier, str):
                earlier = parse_yaml(earlier, name)
            kept = group
            if isinstance(earlier, list) and len(earlier) == 1 and isinstance(earlier[0], dict):
                kept = earlier[0] if group.items() <= earlier[0].items() else group
            value = [{**kept, field: value_of(value, str, where)}]
        given[name] = value, where

    def _positional_values(self, words: list[str], given: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        left = list(words)
        for positional in self.positionals:
            if positional.name in given:
                values[positional.name] = given[positional.name][0]
            elif positional.many:
                values[positional.name], left = left, []
            else:
                values[positional.name] = left.pop(0) if left else ""
            if positional.required and not values[positional.name]:
                raise UserError(f"{self.command} needs {positional.article}: {self.usage}")
        if left and self.positionals:
            raise UserError(f"{self.command} cannot use {left[0]!r} as well: {self.usage}")
        if left:
            takes = "YAML files and flags" if self.reads_files else "only flags"
            raise UserError(f"{self.command} takes {takes}, not {left[0]!r}: {self.usage}")
        return values

    def _objects(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings whose names have no dot, by name, and for each group whose name has no dot its object."""
        top = {name: values.get(name, option.default) for name, option in self.options.items() if "." not in name}
        return {**top, **{name: self._object(name, values) for name in self.groups if "." not in name}}

    def _object(self, group: str, values: Mapping[str, Any]) -> Any:
        own = {
            option.short: values[name]
            for name, option in self.options.items()
            if name.rpartition(".")[0] == group and name in values
        }
        nested = {
            name.rpartition(".")[2]: self._object(name, values)
            for name in self.groups
            if name.rpartition(".")[0] == group
        }
        return self.groups[group](**own, **nested)


def settings_from(namespace: Any, kind: type[Settings]) -> Settings:
    """An object of the dataclass `kind` from parsed settings, which may hold other settings too."""
    names = [field.name for field in fields(kind) if hasattr(namespace, field.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(namespace, name) for name in names})


def value_allowed_empty(kind: Any) -> bool:
    """Whether the type `kind` allows None."""
    return type(None) in getattr(kind, "__args__", ()) or kind is Any


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _metavar(option: Option) -> str:
    return option.metavar or option.short.upper()


def _group(value: str, name: str) -> dict[Any, Any]:
    """The mapping in the value of a flag such as `--model '{d_model: 64}'`, or in the YAML file that it names."""
    values = read_yaml(value) if value.endswith(SUFFIXES) else parse_yaml(value, name)
    if not isinstance(values, dict):
        raise UserError(f"{name} needs settings by name, such as {{name: value}}, not {shown(value)}")
    return values
