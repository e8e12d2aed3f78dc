# SPDX-License-Identifier: GPL-3.0-or-later
"""Feeds mutated jobs files to the reader: whatever the bytes, the answer is shots or a documented error.

Used by the tests with a few thousand mutations and by the benchmarks with 100,000. Standard library only.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from . import jobs_file

SEED = b"""{
  "version": 1,
  "defaults": {"engine": "cycles", "samples": 8, "resolution": [640, 360], "fps": 29.97},
  "jobs": [
    {"clip": "walk.bvh"},
    {"prompt": "a person walks forward,\\nthen waves", "seconds": 4.5, "seed": 7, "variations": 2, "loop": true},
    {"prompt": "a person juggles", "model": "momask++", "model_device": "cpu", "guidance": 3.5, "heading": -90},
    {"clip": "takes/jump 02.bvh", "label": "The jump \\u00fc", "character": "hero.fbx", "frames": [1, 48]},
    {"clip": "c.bvh", "scene": "set.blend", "camera": "Cam", "steps": ["retarget", "render"], "priority": 90, "engine": "eevee"},
    {"clip": "d.bvh", "foot_lock": false, "travel": "root", "map": "maps/hero.json"}
  ]
}
"""
DOCUMENTED = ("ok", "jobs_file_invalid", "jobs_file_not_json", "jobs_file_too_large")
_PIECES = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"null",
    b"true",
    b"NaN",
    b"1e999",
    b"-0",
    b"9" * 70,
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xef\xbb\xbf",
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few random edits: flipped bits, cuts, doubled and swapped stretches, inserted pieces of JSON."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(out) + 1)
        span = rng.choice((1, 1, 2, 8, 40))
        kind = rng.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + span]
        elif kind == 2:
            out[at:at] = out[at : at + span] * rng.choice((1, 1, 30))
        elif kind == 3:
            out[at:at] = rng.choice(_PIECES) * rng.choice((1, 1, 1, 20))
        elif kind == 4:
            source = rng.randrange(len(out) + 1)
            out[at : at + span] = out[source : source + span]
        elif at < len(out):
            out[at] = rng.randrange(256)
    return bytes(out)


def verdict(data: bytes) -> str:
    """ "ok" or the error's code. Anything but a `JobsFileError` is a defect and comes out as it is."""
    try:
        jobs_file.parse(data, name="jobs.json", folder=Path("/shots"))
    except jobs_file.JobsFileError as error:
        return error.code
    return "ok"


def run(count: int, *, seed: int = 0) -> Counter[str]:
    """How often each verdict came out of `count` mutations. `AssertionError` names the bytes that broke the promise."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for _ in range(count):
        data = mutate(SEED, rng)
        try:
            answer = verdict(data)
        except Exception as error:
            raise AssertionError(f"the jobs file reader let {type(error).__name__} out: {error}; bytes: {data!r}") from error
        if answer not in DOCUMENTED:
            raise AssertionError(f"undocumented verdict {answer} for bytes {data!r}")
        counts[answer] += 1
    return counts
