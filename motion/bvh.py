# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH files, read as the world writes them and written so that they read back the same. Knows no Blender and no job.

Positions keep the file's unit and axes. A joint's position channels replace its offset, as Blender and MotionBuilder have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from . import _numbers, quat
from .errors import MotionError
from .kinematics import by_joint
from .quat import Array
from .skeleton import Ints, Motion, Skeleton


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the reader accepts. More is refused before memory is taken for it."""

    max_bytes: int = 256 * 2**20
    max_joints: int = 2048
    max_depth: int = 256
    max_frames: int = 1_000_000
    max_values: int = 40_000_000  # frames × channels


DEFAULT_LIMITS = Limits()

_MAX_NUMBER = 1e9  # a position or an angle beyond this is damage, not motion
_MAX_BAD_FRAMES = 0.1  # share of frames with nan or absurd values that may be bridged
_CHANNELS = {
    "xposition": "X", "yposition": "Y", "zposition": "Z",
    "xrotation": "x", "yrotation": "y", "zrotation": "z",
}  # fmt: skip
_CHANNEL_NAMES = {short: f"{name[0].upper()}{name[1:]}" for name, short in _CHANNELS.items()}
_MOTION_LINE = re.compile(rb"(?im)^[ \t]*MOTION[ \t]*$")
_FRAMES_LINE = re.compile(rb"(?i)\s*Frames[ \t]*:?[ \t]*([^\s]*)[ \t]*(?:\n|$)")
_FRAME_TIME_LINE = re.compile(rb"(?i)\s*Frame[ \t]*Time[ \t]*:?[ \t]*([^\s]*)[ \t]*(?:\n|$)")


def read_bvh(source: bytes | str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Motion:
    """Read a clip from a path (`str` or `Path`) or from a file's content (`bytes`).

    What could be mended without guessing (a wrong frame count, a last line cut short, a few nan) is, and stands in `notes`.
    Everything else raises `MotionError`: bvh_missing, bvh_unreadable, bvh_empty, bvh_binary, bvh_too_large, bvh_hierarchy,
    bvh_truncated, bvh_channels, bvh_header, bvh_values, bvh_not_finite; `details["line"]` is the line where one is known.
    """
    data = _clean(_load(source, limits), limits)
    mark = _MOTION_LINE.search(data)
    header = data[: mark.start()] if mark else data
    if mark is None and not re.search(rb"(?i)\bHIERARCHY\b", header):
        raise MotionError(
            "bvh_hierarchy", "This is no BVH file: neither HIERARCHY nor MOTION was found. Export the clip as BVH again."
        )
    skeleton = _Hierarchy(_decode(header), limits).read()
    if mark is None:
        raise MotionError("bvh_truncated", "The file ends before its MOTION section. It was cut off: copy or export it again.")
    declared, frame_time, body = _read_motion_header(data, mark.end(), limits)
    channels = sum(map(len, skeleton.channels))
    if declared * channels > limits.max_values:
        _refuse_size(f"{declared:,} frames of {channels} channels are declared", f"{limits.max_values:,} values")
    values, notes = _read_values(data, body, channels, declared, limits)
    values, mended = _mend(values, data, body)
    rotations, positions = _compose(skeleton, values)
    return Motion(skeleton=skeleton, rotations=rotations, positions=positions, frame_time=frame_time, notes=(*notes, *mended))


def write_bvh(motion: Motion) -> bytes:
    """The clip as a BVH file with LF line ends, six decimals, angles continuous over frames.

    `MotionError("bvh_channels")` when a joint turns or moves in a way that its channels cannot say, ("bvh_names") when a name
    cannot stand in a BVH file, ("bvh_not_finite") for nan.
    """
    skeleton = motion.skeleton
    for name in skeleton.names:
        if name != name.strip() or not name or any(c in name for c in "{}\n\r"):
            raise MotionError("bvh_names", f"The joint name {name!r} cannot be written to a BVH file. Rename it.")
    values = _decompose(motion)
    if not (np.isfinite(values).all() and np.isfinite(skeleton.offsets).all() and np.isfinite(skeleton.end_offsets).all()):
        raise MotionError("bvh_not_finite", "The motion has values that are no numbers (nan or inf); it was not written.")
    # Rounded first, so that no "-0.000000" is written.
    values = np.round(values, 6) + 0.0
    row = " ".join(["%.6f"] * values.shape[1]) + "\n"
    body = (row * len(values)) % tuple(values.ravel().tolist())
    frame_time = f"{motion.frame_time:.10g}"
    return (f"HIERARCHY\n{_hierarchy_text(skeleton)}MOTION\nFrames: {len(motion)}\nFrame Time: {frame_time}\n{body}").encode()


# Reading


def _load(source: bytes | str | Path, limits: Limits) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        path = Path(source)
        try:
            with path.open("rb") as stream:
                data = stream.read(limits.max_bytes + 1)
        except FileNotFoundError:
            raise MotionError("bvh_missing", f"There is no file {path}. Check the path.") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise MotionError(
                "bvh_unreadable", f"{path} could not be read: {error}. Check that it is a file you may read."
            ) from None
    if len(data) > limits.max_bytes:
        _refuse_size("The file is too large", f"{limits.max_bytes:,} bytes")
    if not data.strip():
        raise MotionError("bvh_empty", "The BVH file is empty. Export or copy it again.")
    return data


def _refuse_size(what: str, limit: str) -> NoReturn:
    raise MotionError("bvh_too_large", f"{what}; at most {limit} are read. Split the clip, or lower its frame rate.")


def _clean(data: bytes, limits: Limits) -> bytes:
    """UTF-8 without a mark, LF line ends, decimal points."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", errors="replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data:
        raise MotionError("bvh_binary", "The file is binary, no BVH text. Perhaps it is an FBX or a .blend with the wrong name.")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"," in data:
        mark = _MOTION_LINE.search(data)
        start = mark.end() if mark else len(data)
        body = data[start:]
        # "0,5 1,5" is the decimal comma of some locales; beside decimal points a comma only separates.
        data = data[:start] + body.replace(b",", b" " if b"." in body else b".")
    return data


def _decode(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


class _Hierarchy:
    """Reads the tokens of HIERARCHY, each with its line, into a skeleton."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._lines = text.split("\n")
        self._line = 0
        self._rest = ""  # of the current line
        self._limits = limits
        self._names: list[str] = []
        self._parents: list[int] = []
        self._offsets: list[list[float]] = []
        self._channels: list[str] = []
        self._ends: list[tuple[int, list[float]]] = []

    def read(self) -> Skeleton:
        word = self._word()
        if word.upper() != "HIERARCHY":
            self._fail("bvh_hierarchy", f"expected HIERARCHY, found {word[:40]!r}")
        stack: list[int] = []  # open blocks: a joint's index, or -1 for an end site
        while word := self._word(needed=bool(stack)):
            match word.upper():
                case "ROOT" | "JOINT":
                    if bool(stack) != (word.upper() == "JOINT") and (stack or word.upper() == "JOINT"):
                        self._fail("bvh_hierarchy", f"a {word} cannot stand here")
                    self._open_joint(stack)
                case "END":
                    if not stack or stack[-1] < 0:
                        self._fail("bvh_hierarchy", "an End Site cannot stand here")
                    self._name()  # "Site", or a name some exporters write
                    self._brace()
                    self._ends.append((stack[-1], [0.0, 0.0, 0.0]))
                    stack.append(-1)
                case "OFFSET" if stack:
                    offset = [self._number() for _ in range(3)]
                    if stack[-1] < 0:
                        self._ends[-1] = (self._ends[-1][0], offset)
                    else:
                        self._offsets[stack[-1]] = offset
                case "CHANNELS" if stack and stack[-1] >= 0:
                    self._channels[stack[-1]] = self._read_channels()
                case "CHANNELS" if stack:
                    self._read_channels(end_site=True)
                case "}" if stack:
                    stack.pop()
                case _:
                    self._fail("bvh_hierarchy", f"{word[:40]!r} cannot stand here")
        if not self._names:
            self._fail("bvh_truncated", "no ROOT joint was found")
        return Skeleton(
            names=tuple(self._names),
            parents=np.array(self._parents, dtype=np.int64),
            offsets=np.array(self._offsets, dtype=np.float64),
            channels=tuple(self._channels),
            end_parents=np.array([joint for joint, _ in self._ends], dtype=np.int64),
            end_offsets=np.array([offset for _, offset in self._ends], dtype=np.float64).reshape(-1, 3),
        )

    def _open_joint(self, stack: list[int]) -> None:
        if stack and stack[-1] < 0:
            self._fail("bvh_hierarchy", "a joint cannot stand inside an End Site")
        if len(self._names) >= self._limits.max_joints:
            self._fail("bvh_too_large", f"more than {self._limits.max_joints} joints")
        if len(stack) >= self._limits.max_depth:
            self._fail("bvh_too_large", f"joints are nested more than {self._limits.max_depth} deep")
        self._names.append(self._name() or f"joint{len(self._names)}")
        self._brace()
        self._parents.append(stack[-1] if stack else -1)
        self._offsets.append([0.0, 0.0, 0.0])
        self._channels.append("")
        stack.append(len(self._names) - 1)

    def _read_channels(self, *, end_site: bool = False) -> str:
        word = self._word()
        if not (word.isascii() and word.isdigit() and int(word[:4]) <= 6):
            self._fail("bvh_channels", f"a joint has 0 to 6 channels, not {word[:40]!r}")
        short = ""
        for _ in range(int(word)):
            name = self._word()
            code = _CHANNELS.get(name.lower())
            if code is None or code in short:
                self._fail("bvh_channels", f"{name[:40]!r} is no channel, or stands there twice")
            short += code
        if end_site and short:
            self._fail("bvh_channels", "an End Site has no channels")
        return short

    def _word(self, *, needed: bool = True) -> str:
        while not (self._rest and not self._rest.isspace()):
            if self._line >= len(self._lines):
                if needed:
                    self._fail("bvh_truncated", "the file ends in the middle of the skeleton")
                return ""
            self._rest = self._lines[self._line]
            self._line += 1
        rest = self._rest.lstrip()
        if rest[0] in "{}":
            self._rest = rest[1:]
            return rest[0]
        end = next((i for i, c in enumerate(rest) if c.isspace() or c in "{}"), len(rest))
        self._rest = rest[end:]
        return rest[:end]

    def _name(self) -> str:
        """The rest of the line up to a brace: names may have spaces and colons."""
        name, brace, after = self._rest.partition("{")
        self._rest = brace + after
        return name.strip()

    def _brace(self) -> None:
        word = self._word()
        if word != "{":
            self._fail("bvh_hierarchy", f"expected {{, found {word[:40]!r}")

    def _number(self) -> float:
        word = self._word()
        try:
            value = float(word.replace(",", "."))
        except ValueError:
            self._fail("bvh_hierarchy", f"{word[:40]!r} is no number")
        if not abs(value) <= _MAX_NUMBER:
            self._fail("bvh_not_finite", f"an offset of {word[:40]} makes no skeleton")
        return value

    def _fail(self, code: str, what: str) -> NoReturn:
        raise MotionError(
            code,
            f"The BVH skeleton cannot be read: {what} (line {self._line}). Export or copy the file again.",
            details={"line": str(self._line)},
        )


def _line_of(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _read_motion_header(data: bytes, start: int, limits: Limits) -> tuple[int, float, int]:
    """Declared frames, frame time in seconds, and where the values begin."""
    frames = _FRAMES_LINE.match(data, start)
    time = _FRAME_TIME_LINE.match(data, frames.end()) if frames else None
    if frames is None or time is None:
        where = _line_of(data, frames.end() if frames else start)
        at_end = not data[frames.end() if frames else start :].strip()
        raise MotionError(
            "bvh_truncated" if at_end else "bvh_header",
            f"After MOTION a BVH file has 'Frames:' and 'Frame Time:'; one is missing (line {where}). Export the file again.",
            details={"line": str(where)},
        )
    text = frames[1].decode("latin-1")
    if not (text.isascii() and text.isdigit()):
        _bad_header(data, frames.start(1), f"{text[:40]!r} is no number of frames")
    if len(text) > 18 or int(text) > limits.max_frames:
        _refuse_size(f"{text[:20]} frames are declared", f"{limits.max_frames:,} frames")
    seconds_text = time[1].decode("latin-1")
    try:
        seconds = float(seconds_text)
    except ValueError:
        seconds = float("nan")
    if not 1e-5 <= seconds <= 60.0:
        _bad_header(data, time.start(1), f"a frame time of {seconds_text[:40]!r} seconds is not between 0.00001 and 60")
    return int(text), seconds, time.end()


def _bad_header(data: bytes, position: int, what: str) -> NoReturn:
    line = _line_of(data, position)
    raise MotionError("bvh_header", f"The BVH file cannot be used: {what} (line {line}).", details={"line": str(line)})


def _read_values(data: bytes, body: int, channels: int, declared: int, limits: Limits) -> tuple[Array, list[str]]:
    """Channel values [F, C] and notes."""
    if channels == 0:
        return np.zeros((declared, 0)), []
    last = data.rstrip().rfind(b"\n") + 1
    try:
        values = _parse_lines(data, body, len(data), limits)
    except _numbers.BadNumberError as bad:
        if not body < last <= bad.position:
            line = _line_of(data, bad.position)
            raise MotionError(
                "bvh_values",
                f"{bad.text!r} is no number (line {line}). Export or copy the file again.",
                details={"line": str(line)},
            ) from None
        data = data[:last]  # the last line is cut off in the middle of a number
        values = _parse_lines(data, body, len(data), limits)
    total = len(values)
    notes: list[str] = []
    if total != declared * channels:
        whole = _whole_frames(data, body, channels, total)
        left = total - whole * channels
        values = values[: whole * channels]
        if left:
            notes.append(f"The last frame is cut off ({left} of {channels} values) and was left out.")
        if whole != declared:
            notes.append(f"The file declares {declared} frames but has {whole}; what is there was read.")
    return values.reshape(-1, channels), notes


def _parse_lines(data: bytes, start: int, stop: int, limits: Limits) -> Array:
    values = _numbers.parse(data, start, stop)
    if len(values) > limits.max_values:
        _refuse_size(f"The clip has {len(values):,} values", f"{limits.max_values:,}")
    return values


def _whole_frames(data: bytes, body: int, channels: int, total: int) -> int:
    """How many whole frames there are when the count is wrong. A line in the middle with another count is an error."""
    first = _line_of(data, body)
    lines = data[body:].split(b"\n")
    last = max((i for i, line in enumerate(lines) if line.strip()), default=0)
    for i, line in enumerate(lines[: last + 1]):
        count = len(line.split())
        if count not in (0, channels) and (count > channels or i != last):
            raise MotionError(
                "bvh_values",
                f"Line {first + i} has {count} values, but the skeleton has {channels} channels. Export or copy the file again.",
                details={"line": str(first + i)},
            )
    return total // channels


def _mend(values: Array, data: bytes, body: int) -> tuple[Array, list[str]]:
    """Bridge the few values that are no numbers; refuse when they are many."""
    bad = ~(np.abs(values) <= _MAX_NUMBER)
    frames = np.flatnonzero(bad.any(axis=1))
    if len(frames) == 0:
        return values, []
    if len(frames) > max(1.0, _MAX_BAD_FRAMES * len(values)) or bool(bad.all(axis=0).any()):
        lines = data[body:].split(b"\n")
        filled = [i for i, line in enumerate(lines) if line.strip()]
        line = _line_of(data, body) + filled[min(int(frames[0]), len(filled) - 1)]
        raise MotionError(
            "bvh_not_finite",
            f"{len(frames)} of {len(values)} frames have values that are no numbers (nan, inf or absurd), first in line {line}. "
            "The capture is damaged: export it again.",
            details={"line": str(line), "frames": str(len(frames))},
        )
    values, index = values.copy(), np.arange(len(values))
    for channel in np.flatnonzero(bad.any(axis=0)):
        good = ~bad[:, channel]
        values[:, channel] = np.interp(index, index[good], values[good, channel])
    return values, [f"{len(frames)} frames had values that are no numbers; they were bridged from their neighbours."]


def _compose(skeleton: Skeleton, values: Array) -> tuple[Array, Array]:
    """Channel values [F, C] to local rotations and positions; joints with the same channels together."""
    frames, joints = len(values), len(skeleton)
    rotations, positions = by_joint(frames, joints, 4), by_joint(frames, joints, 3)
    positions[:] = skeleton.offsets
    for channels, members, columns in _groups(skeleton):
        turns = [i for i, c in enumerate(channels) if c.islower()]
        angles = np.radians(values[:, columns[:, turns]]) if turns else np.zeros((frames, len(members), 0))
        rotations[:, members] = quat.from_euler(angles, "".join(channels[i] for i in turns))
        for i, c in enumerate(channels):
            if c.isupper():
                positions[:, members, "XYZ".index(c)] = values[:, columns[:, i]]
    return quat.continuous(rotations), positions


def _groups(skeleton: Skeleton) -> list[tuple[str, Ints, Ints]]:
    """Joints by their channels: the channels, the joints [M], and the columns [M, channels] of their values in a line."""
    order = _file_order(skeleton)
    starts = np.zeros(len(skeleton), dtype=np.int64)
    starts[order] = np.cumsum([0, *(len(skeleton.channels[j]) for j in order)])[:-1]
    out: list[tuple[str, Ints, Ints]] = []
    for channels in dict.fromkeys(skeleton.channels):
        members = np.array([j for j, c in enumerate(skeleton.channels) if c == channels], dtype=np.int64)
        out.append((channels, members, starts[members][:, None] + np.arange(len(channels))))
    return out


def _file_order(skeleton: Skeleton) -> list[int]:
    """Joints depth first, as a BVH file lists them; the identity for what was read from one."""
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(skeleton.parents):
        children.setdefault(int(parent), []).append(joint)
    order: list[int] = []
    stack = children[-1][::-1]
    while stack:
        order.append(stack.pop())
        stack.extend(reversed(children.get(order[-1], [])))
    return order


# Writing


def _decompose(motion: Motion) -> Array:
    """Channel values [F, C] in degrees and the clip's unit of length."""
    skeleton = motion.skeleton
    values = np.zeros((len(motion), sum(map(len, skeleton.channels))))
    for channels, members, columns in _groups(skeleton):
        order = "".join(c for c in channels if c.islower())
        full = order + "".join(c for c in "xyz" if c not in order)
        angles = quat.unwrap_euler(quat.to_euler(motion.rotations[:, members], full))
        lost = np.abs(quat.to_euler(motion.rotations[:, members], full)[..., len(order) :])
        moved = np.abs(motion.positions[:, members] - skeleton.offsets[members])
        moved[..., ["XYZ".index(c) for c in channels if c.isupper()]] = 0.0
        if lost.max(initial=0.0) > 1e-6 or moved.max(initial=0.0) > 1e-6 * (1.0 + np.abs(skeleton.offsets).max()):
            over = lost.max(axis=(0, 2), initial=0.0) + moved.max(axis=(0, 2), initial=0.0)
            name = skeleton.names[members[int(np.argmax(over))]]
            raise MotionError(
                "bvh_channels",
                f"The joint {name!r} moves in a way its channels ({channels or 'none'}) cannot say. Give it other channels.",
                details={"joint": name},
            )
        for i, c in enumerate(channels):
            if c.isupper():
                values[:, columns[:, i]] = motion.positions[:, members, "XYZ".index(c)]
            else:
                values[:, columns[:, i]] = np.degrees(angles[..., order.index(c)])
    return values


def _hierarchy_text(skeleton: Skeleton) -> str:
    lines: list[str] = []
    ends: dict[int, list[Array]] = {}
    for parent, offset in zip(skeleton.end_parents, skeleton.end_offsets, strict=True):
        ends.setdefault(int(parent), []).append(offset)
    open_joints: list[int] = []

    def close() -> None:
        joint = open_joints.pop()
        tab = "\t" * len(open_joints)
        for offset in ends.get(joint, ()):
            lines.append(f"{tab}\tEnd Site\n{tab}\t{{\n{tab}\t\tOFFSET {_triple(offset)}\n{tab}\t}}\n")
        lines.append(f"{tab}}}\n")

    for joint in _file_order(skeleton):
        parent = skeleton.parents[joint]
        while open_joints and open_joints[-1] != parent:
            close()
        tab = "\t" * len(open_joints)
        channels = skeleton.channels[joint]
        names = " ".join([str(len(channels)), *(_CHANNEL_NAMES[c] for c in channels)])
        lines.append(f"{tab}{'ROOT' if parent < 0 else 'JOINT'} {skeleton.names[joint]}\n{tab}{{\n")
        lines.append(f"{tab}\tOFFSET {_triple(skeleton.offsets[joint])}\n{tab}\tCHANNELS {names}\n")
        open_joints.append(joint)
    while open_joints:
        close()
    return "".join(lines)


def _triple(v: Array) -> str:
    return " ".join(f"{x + 0.0:.6f}" for x in np.round(v, 6))
