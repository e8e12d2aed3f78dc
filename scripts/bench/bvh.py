# SPDX-License-Identifier: GPL-3.0-or-later
"""The BVH reader: its speed beside Blender's importer in the same run, exactness of write and read, damaged files."""

from __future__ import annotations

import argparse
import json
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

# What the peer runs, in a Blender of its own: one line of JSON, the seconds of each import, in the file named last.
_PEER = """
import json, os, sys, time
import bpy
clip, rounds, out = sys.argv[-3], int(sys.argv[-2]), sys.argv[-1]
seconds = []
for _ in range(rounds):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    begin = time.perf_counter()
    bpy.ops.import_anim.bvh(filepath=clip)
    seconds.append(time.perf_counter() - begin)
with open(out, "w", encoding="utf-8") as stream:
    json.dump(seconds, stream)
sys.stdout.flush()
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
    data = write_bvh(long_clip())
    with tempfile.TemporaryDirectory(prefix="mq-bench-") as name:
        clip = Path(name) / "clip.bvh"
        clip.write_bytes(data)
        seconds = []
        for _ in range(max(rounds, 3)):
            begin = time.perf_counter()
            read_bvh(clip)
            seconds.append(time.perf_counter() - begin)
        ours = middle(seconds)
        peer, note = _import_in_blender(clip, max(3, rounds // 3), Path(name), blender)
    report.add(
        f"read {FRAMES:,} frames × {JOINTS} joints", 1000 * ours, "ms", peers={"import_anim.bvh": 1000 * peer} if peer else {}
    )
    report.add("read throughput", len(data) / ours / 1e6, "MB/s")
    if peer:
        report.add("faster than Blender's importer", peer / ours, "×", target=10.0, at_most=False)
    else:
        report.add("faster than Blender's importer", float("nan"), "×", target=10.0, at_most=False, note=note)


def _import_in_blender(clip: Path, rounds: int, folder: Path, blender: str) -> tuple[float | None, str]:
    """Median seconds of Blender's importer, or why there are none."""
    script, out = folder / "peer.py", folder / "seconds.json"
    script.write_text(_PEER, encoding="utf-8")
    arguments = [str(clip), str(rounds), str(out)]
    if blender:
        command = [blender, "--background", "--factory-startup", "--python", str(script), "--", *arguments]
    else:
        command = [sys.executable, "-P", str(script), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"Blender did not run: {error}"
    if not out.exists():
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]
        return None, f"Blender did not import: {last[0]}"
    return middle(json.loads(out.read_text(encoding="utf-8"))), ""


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
    b"Frames: 1000000000", b"Frame Time: 0", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\t", b"\n\n", b"1_0", b",", b"9" * 400, b"",
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
