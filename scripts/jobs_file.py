# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a jobs file (`docs/jobs.schema.json`) into `Shot` values, with every mistake named by its place in the file.

Validates by hand, because a Blender's Python has no validator; a test holds this and the schema to the same verdicts. What
the schema cannot say (a last frame before the first, a clip that is not there) is checked here too, before anything runs.
What a single value may be is known in `shots`. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..queue.errors import MotionQueueError
from . import located_json
from .located_json import Mistake, Node, Places
from .shots import (
    JOB_FIELDS,
    MAX_SHOTS,
    OPTIONS,
    Shot,
    applicable,
    file_problems,
    files_of,
    kind_of,
    meant,
    problems,
    prompt_problems,
    varied,
)

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 16
MAX_JOBS = MAX_SHOTS
MAX_REPORTED = 50


class JobsFileError(MotionQueueError):
    """A jobs file that cannot be used. `mistakes` has each with its place; empty when the file could not be read at all."""

    def __init__(self, code: str, message: str, mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(code, message)
        self.mistakes = tuple(mistakes)


def load(path: Path, *, check_files: bool = True) -> tuple[Shot, ...]:
    """Read and check a jobs file; relative paths in it are taken from its folder. `JobsFileError` names all mistakes."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise JobsFileError("jobs_file_too_large", f"{path} has {size:,} bytes, the limit is {MAX_BYTES:,}. Split it.")
        data = path.read_bytes()
    except OSError as error:
        raise JobsFileError("jobs_file_unreadable", f"Cannot read the jobs file {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise JobsFileError("jobs_file_unreadable", f"Cannot read the jobs file {str(path)!r}: {error}.") from error
    return parse(data, name=path.name, folder=path.resolve().parent, check_files=check_files)


def parse(data: bytes, *, name: str, folder: Path, check_files: bool = False) -> tuple[Shot, ...]:
    """Check the bytes of a jobs file. Raises `JobsFileError`, never anything else, whatever the bytes."""
    if len(data) > MAX_BYTES:
        raise JobsFileError("jobs_file_too_large", f"{name} has {len(data):,} bytes, the limit is {MAX_BYTES:,}. Split it.")
    try:
        text = data.decode("utf-8-sig")  # with or without the mark that some editors put first
    except UnicodeDecodeError as error:
        raise JobsFileError(
            "jobs_file_not_json", f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8, without any other encoding."
        ) from error
    try:
        document = located_json.parse(text, max_depth=MAX_DEPTH)
    except located_json.SyntaxMistake as error:
        raise JobsFileError("jobs_file_not_json", error.mistake.text(name), [error.mistake]) from error
    check = _Check(document.places, folder, check_files)
    check.mistakes.extend(document.mistakes)
    shots = check.document(document.root)
    if check.mistakes:
        raise _invalid(name, check.mistakes)
    try:
        return varied(shots)
    except MotionQueueError as error:
        mistake = document.places.mistake(0, "$.jobs", error.message)
        raise _invalid(name, [mistake]) from error


def _invalid(name: str, mistakes: Sequence[Mistake]) -> JobsFileError:
    ordered = sorted(mistakes, key=lambda m: (m.line, m.column))
    lines = [mistake.text(name) for mistake in ordered[:MAX_REPORTED]]
    if len(ordered) > MAX_REPORTED:
        lines.append(f"… and {len(ordered) - MAX_REPORTED} more")
    return JobsFileError("jobs_file_invalid", "\n".join(lines), ordered)


class _Check:
    """Walks one document and collects mistakes."""

    def __init__(self, places: Places, folder: Path, check_files: bool) -> None:
        self.places = places
        self.folder = folder
        self.check_files = check_files
        self.mistakes: list[Mistake] = []
        self._seen: dict[Path, str] = {}

    def wrong(self, offset: int, path: str, message: str) -> None:
        self.mistakes.append(self.places.mistake(offset, path, message))

    def document(self, root: Node) -> tuple[Shot, ...]:
        """The shots; of one with variations only the first: `varied` makes the others."""
        members = self.members(root, "$", ("$schema", "version", "defaults", "jobs"), ("version", "jobs"))
        if members is None:
            return ()
        if "$schema" in members:
            self.value(members["$schema"], "$['$schema']", _read_schema)
        if "version" in members:
            self.value(members["version"], "$.version", _read_version)
        defaults: dict[str, _Given] = {}
        if "defaults" in members:
            defaults = self.given(members["defaults"], "$.defaults", OPTIONS, ())
        if "jobs" not in members:
            return ()
        node = members["jobs"]
        if not isinstance(node.value, list):
            self.wrong(node.offset, "$.jobs", f"must be a list of jobs, not {kind_of(plain(node))}")
            return ()
        if not 1 <= len(node.value) <= MAX_JOBS:
            self.wrong(node.offset, "$.jobs", f"has {len(node.value):,} jobs; between 1 and {MAX_JOBS:,} are allowed")
            return ()
        return tuple(
            shot for index, job in enumerate(node.value) if (shot := self.job(job, f"$.jobs[{index}]", defaults)) is not None
        )

    def job(self, node: Node, path: str, defaults: Mapping[str, _Given]) -> Shot | None:
        before = len(self.mistakes)
        own = self.given(node, path, JOB_FIELDS, ())
        if isinstance(node.value, dict):
            self.one_motion(node, path, node.value)
        if len(self.mistakes) > before or not {"clip", "prompt"} & set(own):
            return None
        is_prompt = "prompt" in own
        usable = applicable(OPTIONS, to_prompt=is_prompt)
        for name in own.keys() & (OPTIONS.keys() - usable):
            self.wrong(own[name].offset, own[name].path, f"is only for {'clips' if is_prompt else 'prompts'}")
        if len(self.mistakes) > before:
            return None
        # Defaults may be there for jobs of the other kind.
        merged = {**{name: given for name, given in defaults.items() if name in usable}, **own}
        shot = Shot(**{name: given.value for name, given in merged.items()})
        shot = replace(
            shot,
            clip=self.folder / shot.clip if shot.clip is not None else None,
            character=self.folder / shot.character if shot.character is not None else None,
            scene=self.folder / shot.scene if shot.scene is not None else None,
            map=self.folder / shot.map if shot.map is not None else None,
            weights=self.folder / shot.weights if shot.weights is not None else None,
        )
        found = problems(shot)
        if self.check_files:
            found |= self.files(shot) | prompt_problems(shot)
        for name, message in found.items():
            # A mistake in a default is reported where it stands, once for each job it spoils would only be noise.
            given = merged[name]
            if not any(m.path == given.path and m.message == message for m in self.mistakes[-64:]):
                self.wrong(given.offset, given.path, message)
        return shot

    def one_motion(self, node: Node, path: str, members: Mapping[str, Node]) -> None:
        given = [name for name in ("clip", "prompt") if name in members]
        if not given:
            self.wrong(node.offset, path, "`clip` or `prompt` is missing")
        elif len(given) > 1:
            self.wrong(members["prompt"].key_offset, f"{path}.prompt", "stands beside `clip`; a job has one of both")

    def files(self, shot: Shot) -> dict[str, str]:
        """`file_problems`, asking the disk once for each file however many jobs read it."""
        found: dict[str, str] = {}
        paths = files_of(shot)
        if not self._seen.keys() >= set(paths.values()):
            answers = file_problems(shot)
            self._seen.update({path: answers.get(name, "") for name, path in paths.items()})
        for name, path in paths.items():
            if self._seen[path]:
                found[name] = self._seen[path]
        return found

    def given(
        self, node: Node, path: str, readers: Mapping[str, Callable[[object], Any]], required: Sequence[str]
    ) -> dict[str, _Given]:
        members = self.members(node, path, tuple(readers), required)
        values: dict[str, _Given] = {}
        for name, member in (members or {}).items():
            if name in readers:
                where = located_json.step(path, name)
                ok, value = self.value(member, where, readers[name])
                if ok:
                    values[name] = _Given(value, member.offset, where)
        return values

    def members(self, node: Node, path: str, known: Sequence[str], required: Sequence[str]) -> dict[str, Node] | None:
        if not isinstance(node.value, dict):
            self.wrong(node.offset, path, f"must be an object, not {kind_of(plain(node))}")
            return None
        for name, member in node.value.items():
            if name not in known:
                self.wrong(member.key_offset, located_json.step(path, name[:64]), f"is no known field{meant(name, known)}")
        for name in required:
            if name not in node.value:
                self.wrong(node.offset, path, f"`{name}` is missing")
        return node.value

    def value(self, node: Node, path: str, read: Callable[[object], Any]) -> tuple[bool, Any]:
        try:
            return True, read(plain(node))
        except ValueError as error:
            self.wrong(node.offset, path, str(error))
            return False, None


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that a job or the defaults give, with its place."""

    value: Any
    offset: int
    path: str


def _read_version(value: object) -> int:
    if isinstance(value, bool) or value != 1:
        raise ValueError(
            "must be 1, the only format there is"
            if not isinstance(value, int) or value < 2
            else "is newer than this program: update it"
        )
    return 1


def _read_schema(value: object) -> str:
    if not isinstance(value, str) or len(value) > 4096:
        raise ValueError("must be text of at most 4096 characters")
    return value


def plain(node: Node) -> Any:
    """A node without its places: what `json.loads` gives."""
    if isinstance(node.value, dict):
        return {name: plain(member) for name, member in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value
