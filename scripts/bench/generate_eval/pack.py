# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the motion pack: clips with captions, tags and subjects. Knows nothing of what is measured of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....motion import quat
from ....motion.skeleton import Motion, Skeleton
from ...cli.exit_codes import InputError
from .body import JOINTS, Track, track

_MAX_CLIPS, _MAX_FRAMES = 100_000, 20_000_000

# What the classifier tells apart: class → the pack's tags. Turning is left to geometry: the pack tags it only where a clip is
# about nothing else. Tags that are missing here have too few clips to learn from.
CLASSES: Mapping[str, frozenset[str]] = {
    "walk": frozenset({"walk", "sneak"}),
    "run": frozenset({"run", "jog"}),
    "jump": frozenset({"jump", "hop"}),
    "dance": frozenset({"dance"}),
    "climb": frozenset({"climb", "swing"}),
    "martial arts": frozenset({"martial_arts"}),
    "kick": frozenset({"kick"}),
    "punch": frozenset({"punch", "hit"}),
    "stand": frozenset({"idle", "talk"}),
    "gesture": frozenset({"gesture", "wave", "point", "cheer"}),
    "acrobatics": frozenset({"acrobatics", "roll"}),
    "dribble": frozenset({"dribble"}),
    "sword": frozenset({"sword"}),
    "crouch": frozenset({"crouch", "kneel", "pick_up", "crawl"}),
    "sit": frozenset({"sit"}),
    "lie": frozenset({"lie", "fall", "get_up"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip of the pack."""

    id: str
    captions: tuple[str, ...]
    tags: frozenset[str]
    direction: str
    turn_deg: float
    subject: str
    split: str  # train or val
    style: str  # mocap, keyframed or stylised
    derived: bool
    motion: Motion  # centimetres
    track: Track

    @property
    def classes(self) -> frozenset[str]:
        """Of CLASSES; empty where none of them fits. Breakdance with acrobatics is acrobatics, not dance: it looks like that."""
        found = {name for name, tags in CLASSES.items() if tags & self.tags}
        return frozenset(found - {"dance"} if "acrobatics" in found else found)

    def says(self, *words: str) -> bool:
        """Whether one caption has all of `words` as parts."""
        return any(all(word in caption for word in words) for caption in self.captions)


def read(folder: Path) -> list[Clip]:
    """All clips. `InputError("motion_pack_missing")` or `InputError("motion_pack_unreadable")`."""
    captions, arrays = folder / "captions.jsonl", folder / "motions.npz"
    for path in (captions, arrays):
        if not path.is_file():
            raise InputError(
                "motion_pack_missing",
                f"The motion pack is not in {folder} ({path.name} is missing): name its folder with --data.",
            )
    try:
        lines = [json.loads(line) for line in captions.read_text(encoding="utf-8").splitlines() if line.strip()]
        with np.load(arrays, allow_pickle=False) as data:
            return _clips({line["id"]: line for line in lines}, {name: data[name] for name in data.files})
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise InputError(
            "motion_pack_unreadable", f"The motion pack in {folder} cannot be read: {type(error).__name__}: {error}."
        ) from error


def _clips(lines: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]) -> list[Clip]:
    names = tuple(str(name) for name in data["names"])
    if names != JOINTS or len(data["ids"]) > _MAX_CLIPS or len(data["root"]) > _MAX_FRAMES:
        raise ValueError(f"{len(data['ids'])} clips of {len(data['root'])} frames with {len(names)} joints are not such a pack")
    skeleton = Skeleton(names=names, parents=data["parents"].astype(np.int64), offsets=data["offsets"].astype(np.float64))
    clips = []
    for number, name in enumerate(data["ids"]):
        start, length = int(data["starts"][number]), int(data["lengths"][number])
        rotations = quat.continuous(quat.normalize(data["rotations"][start : start + length]))
        positions = np.broadcast_to(skeleton.offsets, (length, len(names), 3)).copy()
        positions[:, 0] = data["root"][start : start + length]
        motion = Motion(skeleton=skeleton, rotations=rotations, positions=positions, frame_time=1.0 / float(data["fps"]))
        line = lines[str(name)]
        clips.append(
            Clip(
                id=str(name),
                captions=tuple(line["captions"]),
                tags=frozenset(line["tags"]),
                direction=line["direction"],
                turn_deg=float(line["turn_deg"]),
                subject=str(line["subject"]),
                split=line["split"],
                style=line["style"],
                derived=bool(line["derived"]),
                motion=motion,
                track=track(motion),
            )
        )
    return clips
