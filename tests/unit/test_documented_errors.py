# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/errors.md and the source name the same codes: none is undocumented, and none is documented that cannot occur."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("queue", "persistence", "backends", "motion", "operators", "panels", "service", "scripts")
_CODE = re.compile(r"[a-z]+(_[a-z0-9]+)*")
_INNER = {"recycled"}  # between the pool and its workers; never reaches a job
# Codes that are put together: the role of a file and what is wrong with it.
_COMPOSED = {
    '{name}_missing': {"clip_missing", "character_missing", "scene_missing", "joint_map_missing"},
    '{role}_unreadable': {"character_unreadable", "scene_unreadable"},
}  # fmt: skip
_BENCHMARKS = "scripts/bench"  # has jobs that fail on purpose


def _files() -> Iterator[Path]:
    yield from _ROOT.glob("*.py")
    for room in _ROOMS:
        yield from (p for p in (_ROOT / room).rglob("*.py") if _BENCHMARKS not in p.as_posix())


def _texts(node: ast.expr | None) -> set[str]:
    """What a code expression can be: a text, one of two, or one that is put together."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    if isinstance(node, ast.BoolOp):
        return set().union(*map(_texts, node.values))
    if isinstance(node, ast.JoinedStr):
        return _COMPOSED[ast.unparse(node).strip("f'\"")]
    return set()


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _codes(trees: list[ast.Module]) -> set[str]:
    nodes = [node for tree in trees for node in ast.walk(tree)]
    takes_code = {"JobError"}
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    for _ in range(3):  # classes of classes
        for made in classes:
            own = any(
                isinstance(f, ast.FunctionDef) and f.name == "__init__" and f.args.args[1:2] and f.args.args[1].arg == "code"
                for f in made.body
            )
            if own or {_name(base) for base in made.bases} & takes_code:
                takes_code.add(made.name)
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            parameters = [a.arg for a in node.args.args if a.arg != "self"]
            if parameters[:1] == ["code"]:
                takes_code.add(node.name)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Call):
            if _name(node.func) in takes_code and node.args:
                found |= _texts(node.args[0])
            found |= set().union(*(_texts(k.value) for k in node.keywords if k.arg == "code"))
            # `code, advice = table.get(errno, (code, advice))`
            if _name(node.func) == "get" and "_CODES" in ast.unparse(node.func) and isinstance(node.args[-1], ast.Tuple):
                found |= _texts(node.args[-1].elts[0])
        elif isinstance(node, ast.Assign):
            targets = {_name(t) for t in node.targets}
            if "code" in targets:
                found |= _texts(node.value)
            if "_CODES" in targets and isinstance(node.value, ast.Dict):
                found |= set().union(*(_texts(v.elts[0]) for v in node.value.values if isinstance(v, ast.Tuple)))
    return {code for code in found if _CODE.fullmatch(code)} - _INNER


def _documented() -> list[str]:
    rows = re.findall(r"^\| (`[^|]*?) \|", (_ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [code for row in rows for code in re.findall(r"`([a-z0-9_]+)`", row)]


def test_every_code_of_the_source_is_documented_and_no_other() -> None:
    source = _codes([ast.parse(path.read_text(encoding="utf-8")) for path in _files()])
    documented = set(_documented())
    assert source - documented == set(), "add these to docs/errors.md"
    assert documented - source == set(), "docs/errors.md has these, but nothing raises them"
    assert len(source) > 80, "the search itself must not fail"


def test_every_code_has_one_line() -> None:
    documented = _documented()
    assert sorted(documented) == sorted(set(documented))
