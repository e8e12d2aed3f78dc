# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader takes what the world writes, mends what needs no guessing, and refuses the rest with a code and a line."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motion_queue.motion import _numbers, quat
from motion_queue.motion.bvh import Limits, read_bvh, write_bvh
from motion_queue.motion.errors import MotionError
from motion_queue.motion.kinematics import resample, world
from motion_queue.motion.skeleton import Motion
from motion_queue.scripts.make_sample import walk

HEAD = """HIERARCHY
ROOT Hips
{
	OFFSET 0.0 90.0 0.0
	CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
	JOINT mixamorig:Left Up Leg
	{
		OFFSET 9 -4 1E-05
		CHANNELS 3 Yrotation Xrotation Zrotation
		End Site
		{
			OFFSET 0 -40 1e+01
		}
	}
}
"""
FRAMES = "MOTION\nFrames: 2\nFrame Time: 0.0333333\n1 91 3 10 20 30 40 50 60\n-1.5E-03 +92 1e+01 -10 0 370 4 5 6\n"
FILE = HEAD + FRAMES


def read(text: str) -> Motion:
    return read_bvh(text.encode())


def refusal(data: bytes | str | Path, **more: object) -> MotionError:
    with pytest.raises(MotionError) as caught:
        read_bvh(data.encode() if isinstance(data, str) else data, **more)  # type: ignore[arg-type]
    return caught.value


def test_names_channels_offsets_and_values_are_read() -> None:
    motion = read(FILE)
    body = motion.skeleton
    assert body.names == ("Hips", "mixamorig:Left Up Leg")
    assert body.channels == ("XYZzxy", "yxz")
    assert body.end_offsets.tolist() == [[0.0, -40.0, 10.0]]
    assert body.offsets[1].tolist() == [9.0, -4.0, 1e-05]
    assert motion.positions[:, 0].tolist() == [[1.0, 91.0, 3.0], [-0.0015, 92.0, 10.0]]
    turns = [quat.from_axis_angle(np.eye(3)["xyz".index(a)], np.radians(d)) for a, d in (("y", 40), ("x", 50), ("z", 60))]
    expected = quat.mul(quat.mul(turns[0], turns[1]), turns[2])
    assert quat.angle(motion.rotations[0, 1], expected) < 1e-9


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.replace("\n", "\r\n"),
        lambda s: s.replace("\n", "\r"),
        lambda s: "\ufeff" + s,
        lambda s: s.rstrip("\n"),
        lambda s: s + "\n\n  \n",
        lambda s: s.replace(" ", "\t").replace("Left\tUp\tLeg", "Left Up Leg").replace("Frame\tTime", "Frame Time"),
        lambda s: s.replace("Frames: 2", "Frames:2").replace("Frame Time: ", "Frame Time:\t"),
        lambda s: s.replace("HIERARCHY", "hierarchy").replace("MOTION", "Motion").replace("CHANNELS", "Channels"),
        lambda s: s.replace("ROOT Hips\n{", "ROOT Hips {"),
        lambda s: s.replace("-1.5E-03", "-0.0015"),
    ],
    ids=["crlf", "cr", "bom", "no final newline", "blank lines", "tabs", "no spaces", "case", "brace", "plain"],
)
def test_the_same_clip_in_another_dress_reads_the_same(change: Callable[[str], str]) -> None:
    motion, other = read(FILE), read(change(FILE))
    assert other.skeleton.names == motion.skeleton.names
    assert np.array_equal(other.rotations, motion.rotations)
    assert np.array_equal(other.positions, motion.positions)
    assert other.notes == ()


def test_utf_16_reads_the_same() -> None:
    assert np.array_equal(read_bvh(FILE.encode("utf-16")).rotations, read(FILE).rotations)


def test_decimal_commas_are_read() -> None:
    text = HEAD + "MOTION\nFrames: 1\nFrame Time: 0,04\n1,5 91 3 10 20 30 40 50 60\n"
    motion = read(text)
    assert motion.positions[0, 0, 0] == 1.5
    assert motion.frame_time == 0.04


def test_several_roots_duplicate_names_and_position_only_joints_are_read() -> None:
    root = "ROOT a\n{\nOFFSET 1 2 3\nCHANNELS 2 Yposition Xposition\n}\n"
    motion = read(f"HIERARCHY\n{root}{root}MOTION\nFrames: 1\nFrame Time: 1\n5 6 7 8\n")
    assert motion.skeleton.names == ("a", "a")
    assert motion.skeleton.parents.tolist() == [-1, -1]
    assert motion.positions[0].tolist() == [[6.0, 5.0, 3.0], [8.0, 7.0, 3.0]]


def test_a_hundred_and_fifty_joints_are_read() -> None:
    joint = "JOINT j\n{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
    text = "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 0\n" + joint * 150 + "}\n" * 151
    motion = read(f"{text}MOTION\nFrames: 1\nFrame Time: 0.01\n" + "1 " * 450)
    assert len(motion.skeleton) == 151
    assert len(motion) == 1


def test_no_frames_at_all_is_a_clip_without_frames() -> None:
    assert len(read(HEAD + "MOTION\nFrames: 0\nFrame Time: 0.04\n")) == 0


@pytest.mark.parametrize("declared", [1, 5, 999_999])
def test_a_frame_count_that_lies_gives_the_frames_that_are_there_and_a_note(declared: int) -> None:
    motion = read(FILE.replace("Frames: 2", f"Frames: {declared}"))
    assert len(motion) == 2
    assert f"declares {declared} frames" in motion.notes[0]


@pytest.mark.parametrize("cut", [3, 10, 20])
def test_a_last_line_cut_short_is_left_out_with_a_note(cut: int) -> None:
    motion = read(FILE.rstrip("\n")[:-cut])
    assert len(motion) == 1
    assert motion.notes


def test_a_last_number_cut_in_the_middle_is_left_out() -> None:
    assert len(read(FILE.replace("370 4 5 6\n", "37e"))) == 1


def test_a_few_nan_are_bridged_with_a_note() -> None:
    rows = "\n".join(f"{i} 90 0 0 0 0 0 0 0" for i in range(20)).replace("\n7 90", "\nnan 90")
    motion = read(f"{HEAD}MOTION\nFrames: 20\nFrame Time: 0.04\n{rows}\n")
    assert motion.positions[7, 0, 0] == 7.0
    assert "1 frames" in motion.notes[0]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "bvh_empty", None),
        ("  \n\t\n", "bvh_empty", None),
        ("Kaydara FBX Binary", "bvh_hierarchy", None),
        ("HIERARCHY\nROOT a\n{\nOFFSET 0 0", "bvh_truncated", "4"),
        (HEAD, "bvh_truncated", None),
        (HEAD + "MOTION\n", "bvh_truncated", "16"),
        (HEAD + "MOTION\nFrames: 2\n", "bvh_truncated", "18"),
        (FILE.replace("Frames: 2", "Frames: -2"), "bvh_header", "17"),
        (FILE.replace("Frames: 2", "Frames: 1000000000"), "bvh_too_large", None),
        (FILE.replace("0.0333333", "0"), "bvh_header", "18"),
        (FILE.replace("0.0333333", "nan"), "bvh_header", "18"),
        (FILE.replace("CHANNELS 3", "CHANNELS 7"), "bvh_channels", "9"),
        (FILE.replace("Yrotation Xrotation Zrotation", "Yrotation Yrotation Zrotation"), "bvh_channels", "9"),
        (FILE.replace("CHANNELS 3 Yrotation", "CHANNELS 2"), "bvh_values", "19"),
        (FILE.replace("1 91 3 10", "1 91 3 ten"), "bvh_values", "19"),
        (FILE.replace("1 91 3 10", "1 91 3"), "bvh_values", "19"),
        (FILE.replace("1 91 3 10", "1 91 3 1_0"), "bvh_values", "19"),
        (HEAD + "MOTION\nFrames: 2\nFrame Time: 1\n" + "nan " * 9 + "\n" + "nan " * 9, "bvh_not_finite", "19"),
        (FILE.replace("OFFSET 9 -4", "OFFSET 9 nan"), "bvh_not_finite", "8"),
        (FILE.replace("OFFSET 9 -4 1E-05", "OFFSET 9 -4"), "bvh_hierarchy", "9"),
        (FILE.replace("\tEnd Site", "\tJOINTS x"), "bvh_hierarchy", "10"),
    ],
)
def test_a_bad_file_is_refused_with_its_code_and_line(text: str, code: str, line: str | None) -> None:
    error = refusal(text)
    assert error.code == code
    assert error.details.get("line") == line


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.bvh").code == "bvh_missing"
    assert refusal(tmp_path).code == "bvh_unreadable"
    (tmp_path / "binary.bvh").write_bytes(bytes(range(256)) * 40)
    assert refusal(tmp_path / "binary.bvh").code == "bvh_binary"


def test_limits_hold_before_memory_is_taken(tmp_path: Path) -> None:
    clip = tmp_path / "clip.bvh"
    clip.write_text(FILE)
    assert refusal(clip, limits=Limits(max_bytes=100)).code == "bvh_too_large"
    assert refusal(FILE, limits=Limits(max_joints=1)).code == "bvh_too_large"
    assert refusal(FILE, limits=Limits(max_depth=1)).code == "bvh_too_large"
    assert refusal(FILE, limits=Limits(max_values=10)).code == "bvh_too_large"
    nested = "HIERARCHY\nROOT r\n{\n" + "JOINT j\n{\n" * 100_000
    assert refusal(nested).code == "bvh_too_large"


def test_writing_refuses_what_the_channels_cannot_say() -> None:
    motion = read(
        FILE.replace("CHANNELS 3 Yrotation Xrotation Zrotation", "CHANNELS 1 Yrotation")
        .replace("40 50 60", "40")
        .replace(" 4 5 6", " 4")
    )
    assert np.allclose(read_bvh(write_bvh(motion)).rotations, motion.rotations)
    motion.rotations[0, 1] = quat.from_axis_angle(np.array([1.0, 0.0, 0.0]), 0.5)
    with pytest.raises(MotionError) as caught:
        write_bvh(motion)
    assert caught.value.code == "bvh_channels"
    assert "Left Up Leg" in caught.value.message


def test_written_angles_are_continuous_over_frames() -> None:
    angles = np.radians(np.stack([np.linspace(0, 900, 200), np.linspace(-60, 200, 200), np.linspace(0, -500, 200)], axis=-1))
    unwrapped = quat.unwrap_euler(quat.to_euler(quat.from_euler(angles, "zxy"), "zxy"))
    assert np.abs(np.diff(unwrapped, axis=0)).max() < np.radians(20)


def test_numbers_are_parsed_to_the_last_bit_as_float_does() -> None:
    rng = random.Random(5)
    forms = ("%.6f", "%g", "%e", "%r", "%.3E", "%.17g")
    tokens = [rng.choice(forms) % (rng.uniform(-500, 500) * 10 ** rng.randint(-12, 6)) for _ in range(20_000)]
    tokens += [".5", "-.5", "5.", "+3.", "1E5", "1e+01", "-0", "1e-400", "000001.5", "9" * 30]
    assert np.array_equal(_numbers.parse(" ".join(tokens).encode()), np.array([float(t) for t in tokens]))


def test_resampling_keeps_the_motion_and_its_length() -> None:
    source = walk()
    there = resample(source, 120.0)
    assert len(there) == (len(source) - 1) * 4 + 1
    assert quat.angle(there.rotations[::4], source.rotations).max() < 1e-9
    back = resample(there, 30.0)
    assert np.abs(world(back)[1] - world(source)[1]).max() < 1e-9
    assert resample(source, 24.0).duration == pytest.approx(source.duration, abs=1 / 24)


def test_a_range_outside_the_clip_is_refused() -> None:
    assert len(walk().cut(10, 20)) == 10
    for start, stop in ((-1, 5), (5, 5), (0, 10_000)):
        with pytest.raises(MotionError) as caught:
            walk().cut(start, stop)
        assert caught.value.code == "bad_range"


def test_the_sample_in_the_checkout_is_what_its_script_makes() -> None:
    sample = Path(__file__).resolve().parents[3] / "examples" / "walk.bvh"
    assert sample.read_bytes() == write_bvh(walk())


def test_the_whole_pack_reads_without_notes(pack: Callable[[str], Path]) -> None:
    clips = sorted(pack("bvh").glob("*.bvh"))[::10]
    assert clips
    for clip in clips:
        assert read_bvh(clip).notes == (), clip.name
