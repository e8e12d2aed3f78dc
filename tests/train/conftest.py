# SPDX-License-Identifier: GPL-3.0-or-later
"""A small folder of captioned motion made by formula, in the real folder's format, and what a very short training makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from motion_queue.backends.generate import representation as rep
from motion_queue.motion import quat

_CLIPS = (
    ("walk_a", "a person walks forward", ["walk"], 1.2, 0.0, "train"),
    ("walk_b", "someone walks forward slowly and turns left", ["walk", "turn"], 0.7, 0.8, "train"),
    ("run_a", "a person runs forward", ["run"], 3.0, 0.0, "train"),
    ("wave_a", "a person waves with the left hand", ["wave"], 0.0, 0.0, "train"),
    ("walk_c", "a person walks forward", ["walk"], 1.0, 0.0, "val"),
)


def clip(speed: float, turn: float, frames: int = 100) -> rep.Body:
    """Legs that swing and a body that travels: metres a second, radians a second."""
    at = np.arange(frames) / rep.FPS
    rotations = np.zeros((frames, rep.JOINTS, 4))
    rotations[..., 0] = 1.0
    swing = 0.5 * np.sin(2 * np.pi * max(speed, 0.5) * at)
    for joint, sign in ((1, 1.0), (2, -1.0)):
        rotations[:, joint] = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), sign * swing)
    heading = turn * at
    rotations[:, 0] = quat.from_axis_angle(np.array([0.0, 1.0, 0.0]), heading)
    root = np.zeros((frames, 3))
    root[:, 0] = np.cumsum(np.sin(heading)) * speed / rep.FPS
    root[:, 2] = np.cumsum(np.cos(heading)) * speed / rep.FPS
    root[:, 1] = 0.93 + 0.02 * np.abs(swing)
    return rep.Body(rotations=rotations, root=root)


@pytest.fixture(scope="session")
def pack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    bodies = [clip(speed, turn) for _, _, _, speed, turn, _ in _CLIPS]
    lengths = np.array([len(b) for b in bodies])
    np.savez(
        folder / "motions.npz",
        rotations=np.concatenate([b.rotations for b in bodies]).astype(np.float32),
        root=(np.concatenate([b.root for b in bodies]) * 100).astype(np.float32),
        lengths=lengths,
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]),
        ids=np.array([c[0] for c in _CLIPS]),
    )
    records = [
        {
            "id": i,
            "captions": [text],
            "tags": tags,
            "subject": "s",
            "split": split,
            "duration_s": 100 / rep.FPS,
            "loopable": False,
        }
        for i, text, tags, _, _, split in _CLIPS
    ]
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(r) for r in records) + "\n", "utf-8")
    return folder
