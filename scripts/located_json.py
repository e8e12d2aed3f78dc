# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads JSON and remembers where everything stands, so that a mistake can be reported with its line and column.

Strict: duplicate keys, NaN and Infinity, numbers out of range, lone surrogates and nesting past a limit are mistakes. Knows
nothing about jobs. Standard library only.
"""

from __future__ import annotations

import bisect
import json
import math
import re
from dataclasses import dataclass
from typing import NoReturn

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_+\-.0-9]+")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_STRINGS = json.JSONDecoder()
_LONGEST_NUMBER = 64  # characters


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, and where. Lines and columns count from 1; `path` is a JSON path such as `$.jobs[3].fps`."""

    line: int
    column: int
    path: str
    message: str

    def text(self, file_name: str) -> str:
        return f"{file_name}:{self.line}:{self.column}: {self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value with its place. Objects hold name → node, arrays hold nodes, the rest plain values."""

    value: dict[str, Node] | list[Node] | str | int | float | bool | None
    offset: int
    key_offset: int = -1  # where the name stands, for a member of an object


class SyntaxMistake(Exception):
    """The text is not JSON (or is nested too deeply): reading stopped there."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


@dataclass(frozen=True, slots=True)
class Document:
    """What `parse` gives: the root, the text's places, and mistakes that did not stop the reading (duplicate names)."""

    root: Node
    places: Places
    mistakes: tuple[Mistake, ...]


class Places:
    """Turns offsets into lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer(r"\n", text))]

    def mistake(self, offset: int, path: str, message: str) -> Mistake:
        line = bisect.bisect_right(self._starts, offset)
        return Mistake(line, offset - self._starts[line - 1] + 1, path, message)


def parse(text: str, *, max_depth: int) -> Document:
    """Read a whole document. Raises `SyntaxMistake`; never anything else, whatever the text."""
    return _Parser(text, max_depth).document()


def step(path: str, name: str) -> str:
    """The path of a member: `$.jobs`, or `$['odd name']`."""
    return f"{path}.{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"{path}[{name!r}]"


class _Parser:
    def __init__(self, text: str, max_depth: int) -> None:
        self.text = text
        self.max_depth = max_depth
        self.places = Places(text)
        self.mistakes: list[Mistake] = []

    def document(self) -> Document:
        root, end = self.value(self.skip(0), "$", 0)
        end = self.skip(end)
        if end != len(self.text):
            self.fail(end, "$", "there is more text after the end of the document")
        return Document(root, self.places, tuple(self.mistakes))

    def skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        assert match is not None
        return match.end()

    def fail(self, at: int, path: str, message: str) -> NoReturn:
        raise SyntaxMistake(self.places.mistake(at, path, message))

    def value(self, at: int, path: str, depth: int, key_offset: int = -1) -> tuple[Node, int]:
        char = self.text[at : at + 1]
        if char in ("{", "["):
            if depth >= self.max_depth:
                self.fail(at, path, f"nested deeper than {self.max_depth} levels")
            return self.object(at, path, depth, key_offset) if char == "{" else self.array(at, path, depth, key_offset)
        if char == '"':
            text, end = self.string(at, path)
            return Node(text, at, key_offset), end
        return self.number_or_word(at, path, key_offset)

    def object(self, at: int, path: str, depth: int, key_offset: int) -> tuple[Node, int]:
        members: dict[str, Node] = {}
        here = self.skip(at + 1)
        if self.text[here : here + 1] == "}":
            return Node(members, at, key_offset), here + 1
        while True:
            if self.text[here : here + 1] != '"':
                self.fail(here, path, "expected a name in double quotes" + self.found(here))
            name_at = here
            name, here = self.string(here, path)
            here = self.skip(here)
            if self.text[here : here + 1] != ":":
                self.fail(here, step(path, name), "expected `:` after the name" + self.found(here))
            node, here = self.value(self.skip(here + 1), step(path, name), depth + 1, name_at)
            if name in members:
                self.mistakes.append(self.places.mistake(name_at, step(path, name), "this name stands here twice"))
            members[name] = node
            here = self.skip(here)
            char = self.text[here : here + 1]
            if char == "}":
                return Node(members, at, key_offset), here + 1
            if char != ",":
                self.fail(here, path, "expected `,` or `}`" + self.found(here))
            here = self.skip(here + 1)

    def array(self, at: int, path: str, depth: int, key_offset: int) -> tuple[Node, int]:
        items: list[Node] = []
        here = self.skip(at + 1)
        if self.text[here : here + 1] == "]":
            return Node(items, at, key_offset), here + 1
        while True:
            node, here = self.value(here, f"{path}[{len(items)}]", depth + 1)
            items.append(node)
            here = self.skip(here)
            char = self.text[here : here + 1]
            if char == "]":
                return Node(items, at, key_offset), here + 1
            if char != ",":
                self.fail(here, path, "expected `,` or `]`" + self.found(here))
            here = self.skip(here + 1)

    def string(self, at: int, path: str) -> tuple[str, int]:
        try:
            text, end = _STRINGS.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            self.fail(min(error.pos, len(self.text)), path, f"a string is not well formed: {error.msg}")
        assert isinstance(text, str)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.fail(at, path, "a string holds half a character (a lone surrogate)")
        return text, end

    def number_or_word(self, at: int, path: str, key_offset: int) -> tuple[Node, int]:
        word = _WORD.match(self.text, at)
        if word is None:
            self.fail(at, path, "expected a value" + self.found(at))
        text = word.group()
        if text in _CONSTANTS:
            return Node(_CONSTANTS[text], at, key_offset), word.end()
        number = _NUMBER.fullmatch(text)
        if number is None:
            self.fail(
                at,
                path,
                f"`{text[:40]}` is not a JSON value" + (" (NaN and Infinity are not allowed)" if "n" in text.lower() else ""),
            )
        if len(text) > _LONGEST_NUMBER:
            self.fail(at, path, f"a number is longer than {_LONGEST_NUMBER} characters")
        if number.group(1) is None and number.group(2) is None:
            return Node(int(text), at, key_offset), word.end()
        value = float(text)
        if not math.isfinite(value):
            self.fail(at, path, f"the number {text} is out of range")
        return Node(value, at, key_offset), word.end()

    def found(self, at: int) -> str:
        return f", found {self.text[at]!r}" if at < len(self.text) else ", but the text ends here"
