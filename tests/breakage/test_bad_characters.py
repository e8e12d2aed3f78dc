# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters that cannot be used, in one batch with one that can: the motion is delivered without them, and it is said why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from motion_queue.app import App, Settings
from motion_queue.queue import Job, MotionQueueError

from .support import NO_PICTURES, SMALL, error_of, run_all, says_what_to_do

CODES = {
    "no armature": "no_armature",
    "two armatures": "several_armatures",
    "unknown skeleton": "unknown_skeleton",
    "newer header": "blend_too_new",
    "newer and compressed": "blend_too_new",
    "cut off": "character_unreadable",
    "noise": "character_unreadable",
    "empty": "character_unreadable",
    "gone after submit": "character_missing",
    "a folder after submit": "character_missing",
    "changed after submit": "input_changed",
}

_MAKE = """
from motion_queue.backends.character import mannequin
def save(name, compress=False):
    bpy.ops.wm.save_as_mainfile(filepath=f"FOLDER/{name}.blend", compress=compress)
def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)
fresh(); mannequin.build(bpy.context.scene)
for name in ("good", "newer header", "cut off", "gone after submit", "a folder after submit", "changed after submit"):
    save(name)
mannequin.build(bpy.context.scene); save("two armatures")
fresh(); bpy.ops.mesh.primitive_cube_add(); save("no armature")
bpy.ops.object.armature_add(); save("unknown skeleton")
"""
_VERSION = re.compile(rb"\A(BLENDER(?:\d\d)?[-_](?:\d\d)?[vV])(\d{3,4})")


def _from_the_future(path: Path) -> bytes:
    """The same file with a header that says it was saved by a Blender that does not exist yet."""
    return _VERSION.sub(lambda m: m[1] + b"9" * len(m[2]), path.read_bytes(), count=1)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def ended(
    tmp_path_factory: pytest.TempPathFactory, in_blender: Callable[[str], str], walk: Path, out: Path
) -> Iterator[dict[str, Job]]:
    folder = tmp_path_factory.mktemp("characters")
    in_blender(_MAKE.replace("FOLDER", str(folder)))
    files = {name: folder / f"{name}.blend" for name in (*CODES, "good")}
    future = _from_the_future(files["newer header"])
    assert future != files["newer header"].read_bytes()
    files["newer header"].write_bytes(future)
    files["newer and compressed"].write_bytes(_compressed(future))
    files["cut off"].write_bytes(files["cut off"].read_bytes()[:100_000])
    files["noise"].write_bytes(b"\x00\x17noise" * 500)
    files["empty"].write_bytes(b"")
    with App.open(Settings(state_dir=tmp_path_factory.mktemp("state"))) as app:
        specs = {
            name: app.clip_job(
                walk,
                {**(SMALL if name == "good" else NO_PICTURES), "output_dir": str(out), "label": name},
                files={"character": path},
            )
            for name, path in files.items()
        }
        files["gone after submit"].unlink()
        files["a folder after submit"].unlink()
        files["a folder after submit"].mkdir()
        files["changed after submit"].write_bytes(files["good"].read_bytes() + b"\n")
        jobs = run_all(app, specs)
        app.flush()
        yield jobs


def _compressed(data: bytes) -> bytes:
    """As gzip, which Blender still reads; zstandard is not in the standard library yet."""
    import gzip  # noqa: PLC0415

    return gzip.compress(data)


@pytest.mark.parametrize("name", CODES)
def test_a_bad_character_has_its_own_code_and_the_motion_is_delivered_without_it(
    ended: dict[str, Job], out: Path, name: str
) -> None:
    job = ended[name]
    assert error_of(job).code == CODES[name], error_of(job)
    assert says_what_to_do(error_of(job).message)
    assert job.state == "completed"
    assert CODES[name] in job.degraded
    assert (out / name / "motion.bvh").stat().st_size > 0
    assert not (out / name / "character.fbx").exists()
    record = json.loads((out / name / "job.json").read_text(encoding="utf-8"))
    assert record["degraded"] == job.degraded
    assert [s["state"] for s in record["steps"]][:2] == ["completed", "failed"]


def test_the_good_one_of_the_batch_is_rendered(ended: dict[str, Job], out: Path) -> None:
    assert ended["good"].state == "completed"
    assert not ended["good"].degraded
    assert (out / "good" / "video.mp4").stat().st_size > 0


def test_two_armatures_are_named_so_that_one_can_be_chosen(ended: dict[str, Job]) -> None:
    assert "Mannequin, Mannequin.001" in error_of(ended["two armatures"]).message


def test_what_is_missing_reads_as_a_sentence(ended: dict[str, Job]) -> None:
    text = ended["no armature"].degraded
    assert text == "retarget: no armature.blend has no armature. Choose a rigged character. [no_armature]"


def test_a_character_that_is_not_there_is_refused_before_anything_is_queued(tmp_path: Path, walk: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        with pytest.raises(MotionQueueError) as caught:
            app.clip_job(walk, {}, files={"character": tmp_path / "gone.fbx"})
        assert caught.value.code == "input_missing"
        assert caught.value.details == {"character": "no such file"}
