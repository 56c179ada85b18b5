"""Mutated files: bytes that are flipped, cut and moved, and values of JSON, YAML and tensor headers that are replaced.

`mutated(data, kind, source)` is a function of its arguments alone, so a case is known by its seed, format and number.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import struct
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["json", "jsonl", "yaml", "text", "bytes", "safetensors", "gz"]
"""How a file is built, which says how it can be changed."""

FILES = ("a folder", "a pipe", "a link to itself", "a link to nothing")
"""What can lie in the place of a file."""

DEEP, LONG = "@deep@", "@long@"
"""Stand for a list nested 100,000 times and a number of 5,000 digits, which `json.dumps` cannot write."""

NUMBERS: tuple[Any, ...] = (0, -1, 1, 2, 7, 1.5, -0.0, 0.1, 1e308, -1e308, 1e-320, 255, 65536, 2**31, 2**32 + 1, 2**40)
NUMBERS += (2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400, float("nan"), float("inf"))
NUMBERS += (-float("inf"), 3_000_000_000, LONG)
TEXTS = (
    "",
    "x",
    "nan",
    "null",
    "1",
    "1e5",
    "true",
    " ",
    "\n",
    "\t",
    "\x00",
    "\x1b[31m",
    "é",
    "日本",
    "\ud800",
    "a\udfffb",
)
TEXTS += (
    "a" * 5000,
    "$\\frac{$",
    "$x_{$",
    "_$",
    "%s",
    "{0}",
    "{{answer}}",
    "{{a|b}}",
    "$name",
    "${x",
    "...",
    "---",
    "#",
)
TEXTS += ("=1+1", "+1", "-1", "@A1", '=HYPERLINK("x")', "</script><script>alert(1)</script>", "| a |", "```", "&amp;")
TEXTS += (
    "../../etc/passwd",
    "/etc/passwd",
    "~",
    "hf:a/b",
    "zoo:none",
    "zoo:../x",
    "x.py",
    "/tmp/x.py",
    "os:system",
    "[",
)
TEXTS += ("(?P<", "(a+)+$", "\\", "cuda", "float16", "<|endoftext|>", "Ġ", "Ġ Ġ")
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"a": 1}, {"": None}, [0] * 300, [["x"]], DEEP)
OTHERS += ([1, [2, [3, [4]]]], {"a": {"a": {"a": {"a": {}}}}}, {str(i): i for i in range(300)})

YAML_LINES = ("a: &a [1, 2]\nb: *a\n", "<<: {tokens: 1}\n", "? [1]\n: 2\n", "!!python/object:os.system x\n", "\tx: 1\n")
YAML_LINES += ("tokens: 1\ntokens: 2\n", "- a\n- b\n", "%YAML 3.0\n---\n", "--- 1\n--- 2\n", "x: !!int abc\n", "x: |\n")
YAML_LINES += (
    "x: 2020-13-45\n",
    "x: !!binary =\n",
    "x: 0x\n",
    "x: 1:99:99\n",
    "*undefined\n",
    "{[: ]}\n",
    "x: *x\n",
    "x: &x [*x]\n",
)
YAML_LINES += ("".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}' if i else 'x'] * 10)}]\n" for i in range(9)),)
YAML_LINES += (
    "".join(
        f"a{i}: &a{i} {{{', '.join(f'k{j}: ' + (f'*a{i - 1}' if i else 'x') for j in range(10))}}}\n" for i in range(9)
    ),
)
YAML_LINES += (
    "a: " + "[" * 3000 + "\n",
    "a: " + "{a: " * 2000 + "\n",
    "\ufeffa: 1\n",
    "a: " + "9" * 5000 + "\n",
    "a: 1e999\n",
)


def mutated(data: bytes, kind: Kind, source: random.Random) -> bytes | str:
    """A mutated copy of a valid file, or one of `FILES`: what lies in its place."""
    if source.random() < 0.01:
        return source.choice(FILES)
    if source.random() < {"text": 1, "bytes": 1, "gz": 0.6, "safetensors": 0.4, "yaml": 0.4}.get(kind, 0.25):
        change = _text if kind in ("text", "yaml") and source.random() < 0.6 else _bytes
        for _ in range(source.choice((1, 1, 1, 2, 5))):
            data = change(data, source)
        return data
    return BY_KIND[kind](data, source)


# --- Bytes and lines ------------------------------------------------------------------------------------------------


def _bytes(data: bytes, source: random.Random) -> bytes:
    """One change of bytes: flipped, removed, inserted, repeated, swapped, cut off."""
    way, size = source.randrange(8), len(data)
    if size == 0:
        return source.randbytes(source.randrange(1, 20))
    at, length = source.randrange(size), source.choice((1, 1, 2, 4, 16, 256))
    piece = data[at : at + length]
    if way == 0:
        return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :]
    if way == 1:
        return data[:at]
    if way == 2:
        return data[:at] + data[at + length :]
    if way == 3:
        return data[:at] + source.randbytes(length) + data[at:]
    if way == 4:
        return data[:at] + source.randbytes(len(piece)) + data[at + length :]
    if way == 5:
        return data[:at] + piece * source.randrange(2, 6) + data[at + length :]
    other = source.randrange(size)
    if way == 6:
        return data[:other] + piece + data[other:]
    low, high = sorted((at, other))
    return data[high:] + data[low:high] + data[:low]


def _text(data: bytes, source: random.Random) -> bytes:
    """One change of lines or words."""
    lines = data.decode("utf-8", errors="surrogateescape").split("\n")
    at, way = source.randrange(len(lines)), source.randrange(8)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(source.randrange(len(lines) + 1), lines[at])
    elif way == 2:
        other = source.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif way == 3:
        lines.insert(at, source.choice(YAML_LINES).rstrip("\n"))
    elif way == 4:
        lines[at] = " " * source.randrange(1, 5) + lines[at]
    elif way == 5:
        lines[at] = source.choice(TEXTS)
    elif way == 6:
        name, separator, _ = lines[at].partition(":")
        value = source.choice((*TEXTS, *map(str, NUMBERS[:-1]), "", "null", "[]", "{}", "[1, [2]]", "{a: b}", "~"))
        lines[at] = f"{name}{separator or ' '} {value}"
    else:
        words = lines[at].split(" ")
        words[source.randrange(len(words))] = source.choice(TEXTS)
        lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", errors="surrogatepass" if source.random() < 0.3 else "replace")


# --- Values ---------------------------------------------------------------------------------------------------------


def changed_values(value: Any, source: random.Random) -> Any:
    """A copy of plain values with one to three of them replaced, removed, renamed, moved or added."""
    value = copy.deepcopy(value)
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        value = _change(value, value, source)
    return value


def _change(value: Any, whole: Any, source: random.Random) -> Any:
    """Change something inside `value`, which is walked down at random, so that large lists attract no more changes."""
    inner = isinstance(value, dict | list) and value
    if not inner or source.random() < (0.03 if value is whole else 0.12):
        return _replacement(value, whole, source)
    key = source.choice(list(value)) if isinstance(value, dict) else source.randrange(len(value))
    if source.random() < 0.7 and isinstance(value[key], dict | list) and value[key]:
        value[key] = _change(value[key], whole, source)
        return value
    way = source.randrange(10)
    if way == 0:
        del value[key]
    elif way == 1 and isinstance(value, dict):
        value[source.choice((*TEXTS, *value))] = value.pop(key)
    elif way == 2 and isinstance(value, dict):
        value[source.choice((*TEXTS, "format", "info", "task", "model"))] = copy.deepcopy(_any(source))
    elif way == 2:
        value.insert(key, copy.deepcopy(_any(source)))
    elif way == 3:
        other = source.choice(list(value)) if isinstance(value, dict) else source.randrange(len(value))
        value[key], value[other] = value[other], value[key]
    else:
        value[key] = _replacement(value[key], whole, source)
    return value


def _replacement(value: Any, whole: Any, source: random.Random) -> Any:
    """Another value for `value`: of the same type, of another type, or one from elsewhere in the file."""
    way = source.random()
    if isinstance(value, str) and way < 0.1 and value[:1] in ("{", "["):
        try:
            return json.dumps(changed_values(json.loads(value), source))
        except ValueError:
            return value[: source.randrange(len(value))]
    if way < 0.15:
        return copy.deepcopy(_somewhere(whole, source))
    if way < 0.35 and isinstance(value, int | float) and not isinstance(value, bool):
        third = value / 3 if abs(value) < 1e300 else 0.5
        return source.choice((-value, value + 1, value - 1, value * 1000, third, str(value), [value]))
    if way < 0.35 and isinstance(value, list) and value:
        return source.choice(
            (value[:-1], value + value[:1], value[::-1], value * 3, value[0], dict.fromkeys(map(str, value[:5])))
        )
    if way < 0.35 and isinstance(value, str) and value:
        cut = source.randrange(len(value))
        return source.choice((value[:cut], value[cut:], value + value, value + source.choice(TEXTS), list(value[:9])))
    return copy.deepcopy(_any(source))


def _any(source: random.Random) -> Any:
    return source.choice(source.choice((NUMBERS, NUMBERS, TEXTS, OTHERS)))


def _somewhere(value: Any, source: random.Random) -> Any:
    while isinstance(value, dict | list) and value and source.random() < 0.8:
        value = source.choice(list(value.values()) if isinstance(value, dict) else value)
    return value


def _json_text(value: Any, source: random.Random) -> bytes:
    text = json.dumps(value)
    text = text.replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000).replace(f'"{LONG}"', "9" * 5000)
    if source.random() < 0.03 and isinstance(value, dict) and value:  # a key that is given twice
        text = f"{text[:-1]}, {json.dumps(source.choice(list(value)))}: {json.dumps(source.choice(TEXTS))}}}"
    return text.encode("utf-8")


def _json(data: bytes, source: random.Random) -> bytes:
    return _json_text(changed_values(json.loads(data), source), source)


def _jsonl(data: bytes, source: random.Random) -> bytes:
    lines = data.decode("utf-8").rstrip("\n").split("\n")
    at = source.randrange(len(lines))
    if source.random() < 0.1:
        lines[at] = source.choice(("", "null", "[]", "1", lines[at] * 2, lines[at][: len(lines[at]) // 2], "\ufeff"))
    else:
        value = changed_values(json.loads(lines[at]), source)
        same = source.random() < 0.3 and isinstance(value, dict)
        lines[at] = _json_text(value, source).decode()
        if same:  # the same change in every line, such as a name
            texts = {key: one for key, one in value.items() if isinstance(one, str)}
            lines = [line if i == at else json.dumps({**json.loads(line), **texts}) for i, line in enumerate(lines)]
    end = "" if source.random() < 0.05 else "\n"
    return ("\n".join(lines) + end).encode("utf-8", errors="surrogatepass")


def _yaml(data: bytes, source: random.Random) -> bytes:
    import yaml

    value = changed_values(yaml.safe_load(data), source)
    text = yaml.safe_dump(
        value, default_flow_style=source.choice((None, False, True)), allow_unicode=source.random() < 0.5
    )
    text = text.replace(f"'{DEEP}'", "[" * 3000).replace(f"'{LONG}'", "9" * 5000)
    return text.encode("utf-8", errors="surrogatepass")


def _safetensors(data: bytes, source: random.Random) -> bytes:
    """Another header before the same tensors: other names, types, shapes, places."""
    (size,) = struct.unpack("<Q", data[:8])
    header = _json_text(changed_values(json.loads(data[8 : 8 + size]), source), source)
    size = source.choice((len(header),) * 9 + (0, 2**63, len(header) + 8))
    return struct.pack("<Q", size) + header + data[8 + struct.unpack("<Q", data[:8])[0] :]


def _gz(data: bytes, source: random.Random) -> bytes:
    return gzip.compress(_bytes(gzip.decompress(data), source), mtime=0)


BY_KIND: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "json": _json,
    "jsonl": _jsonl,
    "yaml": _yaml,
    "safetensors": _safetensors,
    "gz": _gz,
}
