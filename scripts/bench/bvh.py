# SPDX-License-Identifier: GPL-3.0-or-later
"""The BVH reader: its speed beside Blender's importer in the same run, exactness of write and read, damaged files."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...motion import quat
from ...motion.bvh import read_bvh, write_bvh
from ...motion.errors import MotionError
from ...motion.skeleton import Motion, Skeleton
from ..make_sample import walk
from .report import Report, middle

FRAMES, JOINTS = 3000, 21
SEED = 20260101

# What the peer runs, in a Blender of its own: for each line on stdin one import, and its seconds on a marked line.
_MARK = "MQ-SECONDS "
_PEER = """
import os, sys, time
import bpy
for _ in sys.stdin:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    begin = time.perf_counter()
    bpy.ops.import_anim.bvh(filepath=sys.argv[-1])
    print("\\nMQ-SECONDS", time.perf_counter() - begin, flush=True)
os._exit(0)
"""


def long_clip(frames: int = FRAMES, joints: int = JOINTS) -> Motion:
    """The sample walk, repeated, with as many of its joints."""
    source = walk()
    body = source.skeleton
    keep = np.array([i for i, name in enumerate(body.names) if name != "r_wrist"][:joints])
    renumbered = {int(old): new for new, old in enumerate(keep)}
    parents = np.array([renumbered.get(int(body.parents[i]), -1) for i in keep])
    ends = np.isin(body.end_parents, keep)
    skeleton = Skeleton(
        names=tuple(body.names[i] for i in keep),
        parents=parents,
        offsets=body.offsets[keep],
        end_parents=np.array([renumbered[int(i)] for i in body.end_parents[ends]], dtype=np.int64),
        end_offsets=body.end_offsets[ends],
    )
    times = frames // len(source) + 1
    return Motion(
        skeleton=skeleton,
        rotations=np.tile(source.rotations[:, keep], (times, 1, 1))[:frames],
        positions=np.tile(source.positions[:, keep], (times, 1, 1))[:frames],
        frame_time=source.frame_time,
    )


def speed(report: Report, rounds: int, blender: str) -> None:
    """Turn about, so that what else the machine does slows both alike."""
    data = write_bvh(long_clip())
    ours: list[float] = []
    peers: list[float] = []
    with tempfile.TemporaryDirectory(prefix="mq-bench-") as name:
        clip = Path(name) / "clip.bvh"
        clip.write_bytes(data)
        importer = _Importer(clip, blender)
        for _ in range(max(rounds, 3)):
            for _ in range(3):
                begin = time.perf_counter()
                read_bvh(clip)
                ours.append(time.perf_counter() - begin)
            seconds = importer.seconds()
            if seconds is not None:
                peers.append(seconds)
        note = importer.close()
    mine, peer = middle(ours), middle(peers) if peers else float("nan")
    report.add(
        f"read {FRAMES:,} frames × {JOINTS} joints", 1000 * mine, "ms", peers={"import_anim.bvh": 1000 * peer} if peers else {}
    )
    report.add("read throughput", len(data) / mine / 1e6, "MB/s")
    report.add("faster than Blender's importer", peer / mine, "×", target=10.0, at_most=False, note="" if peers else note)


class _Importer:
    """A Blender that imports the clip each time it is asked."""

    def __init__(self, clip: Path, blender: str) -> None:
        script = clip.with_name("peer.py")
        script.write_text(_PEER, encoding="utf-8")
        if blender:
            command = [blender, "--background", "--factory-startup", "--python", str(script), "--", str(clip)]
        else:
            command = [sys.executable, "-P", str(script), str(clip)]
        self._errors = clip.with_name("peer.log").open("w+b")
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, encoding="utf-8"
        )

    def seconds(self) -> float | None:
        """Of one import; None when the child has ended."""
        assert self._child.stdin and self._child.stdout
        try:
            self._child.stdin.write("go\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            return None
        for line in self._child.stdout:
            if line.startswith(_MARK):
                return float(line.removeprefix(_MARK))
        return None

    def close(self) -> str:
        """End it; the last line it complained with."""
        try:
            self._child.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
        with self._errors as stream:
            stream.seek(0)
            lines = stream.read().decode(errors="replace").strip().splitlines()
        return f"Blender did not import: {lines[-1]}" if lines else "Blender did not import."


def exactness(report: Report) -> None:
    source = long_clip()
    rng = np.random.default_rng(SEED)
    wild = quat.normalize(rng.normal(size=source.rotations.shape))
    source = replace(source, rotations=wild)
    begin = time.perf_counter()
    data = write_bvh(source)
    report.add(f"write {FRAMES:,} frames × {JOINTS} joints", 1000 * (time.perf_counter() - begin), "ms")
    back = read_bvh(data)
    report.add(
        "write → read, largest rotation error", float(quat.angle(source.rotations, back.rotations).max()), "rad", target=1e-6
    )
    report.add(
        "write → read, largest position error", float(np.abs(source.positions - back.positions).max()), "units", target=1e-6
    )


def fuzz(report: Report, count: int, seed: int = SEED) -> None:
    """Damaged files through the reader: a clip or a `MotionError`, nothing else."""
    rng = random.Random(seed)
    seeds = fuzz_seeds()
    codes: Counter[str] = Counter()
    slowest = 0.0
    wrong: list[str] = []
    for i in range(count):
        data = mutate(rng, rng.choice(seeds))
        begin = time.perf_counter()
        try:
            read_bvh(data)
            codes["read"] += 1
        except MotionError as error:
            codes[error.code] += 1
        except Exception as error:
            # The one place that has to see every error: this is what is counted.
            wrong.append(f"{i}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - begin)
    note = ", ".join(f"{code} {n}" for code, n in codes.most_common()) + "".join(f"; {line}" for line in wrong[:3])
    report.add(f"undocumented errors in {count:,} damaged files", len(wrong), "errors", target=0, note=note)
    report.add("slowest damaged file", 1000 * slowest, "ms", target=1000.0)


def fuzz_seeds() -> list[bytes]:
    """Small files of several kinds, to be damaged."""
    clip = walk().cut(0, 3)
    tail = b"MOTION\nFrames: 2\nFrame Time: .01\n1 2 3 4 5 6 7 8 9\n1 2 3 4 5 6 7 8 1E-05\n"
    small = (
        b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        b"JOINT b c:d\n{\nOFFSET 0 1 0\nCHANNELS 3 Yrotation Zrotation Xrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n}\n}\n"
    )
    return [write_bvh(clip), small + tail, (small + tail).replace(b"\n", b"\r\n"), (small + tail).replace(b".", b",")]


_PIECES = (
    b"nan", b"inf", b"-", b"1e999", b"{", b"}", b"ROOT x", b"JOINT", b"End Site", b"OFFSET", b"CHANNELS 6", b"MOTION", b"Frames:",
    b"Frames: 1000000000", b"Frame Time: 0", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\t", b"\n\n",
    b"1_0", b",", b"9" * 400, b"",
)  # fmt: skip


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One to four damages: bytes flipped, cut, doubled, moved, or replaced by pieces that hurt."""
    for _ in range(rng.randint(1, 4)):
        a = rng.randrange(len(data) + 1)
        b = min(len(data), a + rng.choice((1, 4, 40, 400)))
        match rng.randrange(6):
            case 0:
                data = data[:a] + bytes([rng.randrange(256)]) + data[a + 1 :]
            case 1:
                data = data[:a] + data[b:]
            case 2:
                data = data[:b] + data[a:b] + data[b:]
            case 3:
                data = data[:a] + rng.choice(_PIECES) + data[a:]
            case 4:
                data = data[:a]
            case _:
                lines = data.split(b"\n")
                i = rng.randrange(len(lines))
                lines[i] = rng.choice((rng.choice(_PIECES), lines[rng.randrange(len(lines))]))
                data = b"\n".join(lines)
    return data


def run(argv: Sequence[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(prog="mq.py bench bvh", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15, help="reads of the long clip (default 15)")
    parser.add_argument("--fuzz", type=int, default=100_000, metavar="N", help="damaged files (default 100,000)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the damages")
    parser.add_argument(
        "--blender",
        default=os.environ.get("MOTION_QUEUE_BLENDER", ""),
        help="an installed Blender (default: the bpy of this Python)",
    )
    options = parser.parse_args(argv)
    report = Report("bvh")
    speed(report, options.rounds, options.blender)
    exactness(report)
    if options.fuzz > 0:
        fuzz(report, options.fuzz, options.seed)
    return report.finish()


if __name__ == "__main__":
    run(sys.argv[1:])
