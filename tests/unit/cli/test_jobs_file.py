# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs file: what it accepts, and where it says that something is wrong."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_queue.persistence import models_file
from motion_queue.scripts import fuzz_jobs, jobs_file, located_json
from motion_queue.scripts.jobs_file import JobsFileError
from motion_queue.scripts.shots import ENGINES, MODEL_DEVICES, MODELS, STEPS, Shot, motion_payload

SCHEMA = json.loads((Path(jobs_file.__file__).parents[1] / "docs" / "jobs.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FOLDER = Path("/shots")


def parse(text: str | bytes) -> tuple[Shot, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    return jobs_file.parse(data, name="jobs.json", folder=FOLDER)


def mistakes(text: str | bytes) -> list[str]:
    with pytest.raises(JobsFileError) as caught:
        parse(text)
    return str(caught.value.message).splitlines()


def test_the_schema_is_a_valid_schema_and_accepts_its_own_example() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for example in SCHEMA["examples"]:
        VALIDATOR.validate(example)
        assert parse(json.dumps(example))


def test_defaults_fill_in_and_a_job_overrides_them() -> None:
    first, second = parse(
        '{"version": 1, "defaults": {"engine": "cycles", "samples": 4, "resolution": [640, 360]},'
        ' "jobs": [{"clip": "a.bvh"}, {"clip": "/abs/b.bvh", "samples": 8, "label": "B"}]}'
    )
    assert first == Shot(clip=FOLDER / "a.bvh", engine="cycles", samples=4, resolution=(640, 360))
    assert second == Shot(clip=Path("/abs/b.bvh"), label="B", engine="cycles", samples=8, resolution=(640, 360))
    assert (first.name, second.name) == ("a", "B")


def test_a_prompt_and_a_clip_can_say_how_they_are_retargeted() -> None:
    first, second = parse(
        '{"version": 1, "defaults": {"foot_lock": false, "map": "maps/hero.json"},'
        ' "jobs": [{"clip": "a.bvh", "travel": "root"}, {"prompt": "waves", "foot_lock": true}]}'
    )
    assert (first.foot_lock, first.travel, first.map) == (False, "root", FOLDER / "maps" / "hero.json")
    assert (second.foot_lock, second.travel, second.map) == (True, "hips", FOLDER / "maps" / "hero.json")
    assert mistakes('{"version": 1, "jobs": [{"clip": "a.bvh", "travel": "roots", "foot_lock": 0}]}') == [
        "jobs.json:1:53: $.jobs[0].travel: must be one of hips, root, in_place; did you mean `root`?",
        "jobs.json:1:75: $.jobs[0].foot_lock: must be true or false, not a number",
    ]


def test_variations_are_jobs_of_their_own_and_defaults_of_the_other_kind_do_not_matter() -> None:
    shots = parse(
        '{"version": 1, "defaults": {"frames": [1, 9], "seconds": 4, "seed": 5},'
        ' "jobs": [{"prompt": "jumps\\ntwice", "variations": 3}, {"clip": "a.bvh"},'
        ' {"prompt": "waves", "label": "W", "seconds": 2}]}'
    )
    assert [(s.name, s.seed, s.variation) for s in shots[:3]] == [(f"jumps twice_0{i + 1}", 5, i) for i in range(3)]
    assert all(s.prompt == "jumps\ntwice" and s.seconds == 4 and s.frames is None for s in shots[:3])
    assert shots[3] == Shot(clip=FOLDER / "a.bvh", frames=(1, 9))
    assert shots[4] == Shot(prompt="waves", label="W", seconds=2, seed=5)


def test_more_jobs_than_there_may_be_are_refused_with_all_variations_counted() -> None:
    text = json.dumps({"version": 1, "jobs": [{"prompt": "waves", "variations": 100}] * 101})
    assert "more than 10,000 jobs" in mistakes(text)[0]


def test_every_mistake_is_reported_at_once_with_its_line_column_and_path() -> None:
    text = """{
  "version": 1,
  "jobs": [
    {"clip": "a.bvh", "resolution": [640, 361]},
    {"clip": "", "fsp": 3},
    {"clip": "c.bvh", "frames": [9, 2]}
  ]
}"""
    assert mistakes(text) == [
        "jobs.json:4:37: $.jobs[0].resolution: must be even numbers of pixels, which H.264 needs",
        "jobs.json:5:14: $.jobs[1].clip: must not be empty",
        "jobs.json:5:18: $.jobs[1].fsp: is no known field; did you mean `fps`?",
        "jobs.json:6:33: $.jobs[2].frames: the last frame (2) comes before the first (9)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "jobs.json:1:1: $: expected a value, but the text ends here"),
        ('{"version": 1, "jobs": [{"clip": "a.bvh"}]', "jobs.json:1:43: $: expected `,` or `}`, but the text ends here"),
        ('{"version": 1,\n"version": 1, "jobs": [{"clip": "a"}]}', "jobs.json:2:1: $.version: this name stands here twice"),
        (
            '{"version": NaN, "jobs": []}',
            "jobs.json:1:13: $.version: `NaN` is not a JSON value (NaN and Infinity are not allowed)",
        ),
        ('{"version": 1e999}', "jobs.json:1:13: $.version: the number 1e999 is out of range"),
        ("[" * 100, "jobs.json:1:17: $[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested deeper than 16 levels"),
        ('{"version": 1, "jobs": [{}]}', "jobs.json:1:25: $.jobs[0]: `clip` or `prompt` is missing"),
        (
            '{"version": 1, "jobs": [{"clip": "a", "prompt": "wave"}]}',
            "jobs.json:1:39: $.jobs[0].prompt: stands beside `clip`; a job has one of both",
        ),
        (
            '{"version": 1, "jobs": [{"clip": "a", "seconds": 4}]}',
            "jobs.json:1:50: $.jobs[0].seconds: is only for prompts",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "wave", "frames": [1, 2]}]}',
            "jobs.json:1:54: $.jobs[0].frames: is only for clips",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "wave", "seconds": 1e9}]}',
            "jobs.json:1:55: $.jobs[0].seconds: must be between 1 and 60",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": " \\n"}]}',
            "jobs.json:1:36: $.jobs[0].prompt: must not be empty",
        ),
        ('{"version": 2, "jobs": [{"clip": "a"}]}', "jobs.json:1:13: $.version: is newer than this program: update it"),
        (
            '{"version": 1, "jobs": [{"clip": "\\ud800"}]}',
            "jobs.json:1:34: $.jobs[0].clip: a string holds half a character (a lone surrogate)",
        ),
        (
            '{"version": 1, "jobs": [{"clip": "a", "camera": "C"}]}',
            "jobs.json:1:49: $.jobs[0].camera: needs a `scene` that has this camera",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "juggles", "model": "momask", "seconds": 30}]}',
            "jobs.json:1:77: $.jobs[0].seconds: must be a number from 0.5 to 9.8 (with the model momask)",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "juggles", "model": "momask++", "bend": 30}]}',
            "jobs.json:1:76: $.jobs[0].bend: is only for the model 'builtin' (with the model momask++)",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "juggles", "model": "momask++", "model_device": "numpy"}]}',
            "jobs.json:1:84: $.jobs[0].model_device: must be one of auto, cpu, cuda (with the model momask++)",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "waves", "model_device": "auto"}]}',
            "jobs.json:1:61: $.jobs[0].model_device: `auto` is only for published models",
        ),
        (
            '{"version": 1, "jobs": [{"prompt": "waves", "model": "momsk"}]}',
            "jobs.json:1:54: $.jobs[0].model: must be one of builtin, momask, momask++; did you mean `momask`?",
        ),
        (
            '{"version": 1, "jobs": [{"clip": "a.bvh", "model": "momask"}]}',
            "jobs.json:1:52: $.jobs[0].model: is only for prompts",
        ),
        ('{"version": 1, "jobs": [7]}', "jobs.json:1:25: $.jobs[0]: must be an object, not a number"),
        ("null", "jobs.json:1:1: $: must be an object, not null"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_a_job_may_take_the_built_in_model_where_the_defaults_name_another() -> None:
    first, second = parse(
        '{"version": 1, "defaults": {"model": "momask", "model_device": "cpu"}, "jobs": [{"prompt": "juggles"},'
        ' {"prompt": "waves", "model": "builtin"}]}'
    )
    assert (first.published, second.published) == ("momask", None)
    assert motion_payload(first) == {"seed": 1, "variation": 0, "model": "momask", "model_device": "cpu"}
    assert motion_payload(second) == {"seed": 1, "variation": 0, "model_device": "cpu"}


def test_a_model_that_is_not_set_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(models_file.ENVIRONMENT, str(tmp_path / "models.json"))
    file = tmp_path / "jobs.json"
    file.write_text('{"version": 1, "jobs": [\n{"prompt": "juggles", "model": "momask"}]}', encoding="utf-8")
    with pytest.raises(JobsFileError) as caught:
        jobs_file.load(file)
    assert [(m.path, m.line) for m in caught.value.mistakes] == [("$.jobs[0].model", 2)]
    assert "[published_not_set]" in caught.value.message
    models_file.write(tmp_path / "models.json", {"momask": {"checkout": "/m", "python": "/p"}})
    assert [shot.model for shot in jobs_file.load(file)] == ["momask"]


def test_a_byte_order_mark_is_accepted_and_another_encoding_is_refused() -> None:
    text = '{"version": 1, "jobs": [{"clip": "a.bvh"}]}'
    assert parse(text.encode("utf-8-sig")) == parse(text)
    with pytest.raises(JobsFileError) as caught:
        parse(text.encode("utf-16"))
    assert caught.value.code == "jobs_file_not_json"


def test_a_mistake_in_the_defaults_is_reported_where_it_stands_and_once() -> None:
    text = '{"version": 1, "defaults": {"frames": [5, 1]}, "jobs": [{"clip": "a"}, {"clip": "b"}]}'
    assert mistakes(text) == ["jobs.json:1:39: $.defaults.frames: the last frame (1) comes before the first (5)"]


def test_a_joint_map_that_is_not_there_is_reported_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_text("HIERARCHY", encoding="utf-8")
    data = b'{"version": 1, "defaults": {"map": "gone.json"}, "jobs": [{"clip": "a.bvh"}]}'
    with pytest.raises(JobsFileError, match=r"jobs.json:1:36: \$.defaults.map: there is no file .*gone.json"):
        jobs_file.parse(data, name="jobs.json", folder=tmp_path, check_files=True)


def test_a_missing_clip_is_reported_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "here.bvh").write_text("HIERARCHY", encoding="utf-8")
    file = tmp_path / "jobs.json"
    file.write_text('{"version": 1, "jobs": [{"clip": "here.bvh"}, {"clip": "gone.bvh"}]}', encoding="utf-8")
    with pytest.raises(JobsFileError) as caught:
        jobs_file.load(file)
    assert [m.path for m in caught.value.mistakes] == ["$.jobs[1].clip"]
    assert "there is no file" in caught.value.message


@pytest.mark.parametrize("make", ["missing", "folder", "huge"])
def test_a_file_that_cannot_be_read_has_its_own_code(tmp_path: Path, make: str) -> None:
    file = tmp_path / "jobs.json"
    if make == "folder":
        file.mkdir()
    elif make == "huge":
        with file.open("wb") as handle:
            handle.truncate(jobs_file.MAX_BYTES + 1)
    with pytest.raises(JobsFileError) as caught:
        jobs_file.load(file)
    assert caught.value.code == ("jobs_file_too_large" if make == "huge" else "jobs_file_unreadable")


def test_ten_thousand_jobs_are_read_and_one_more_is_refused() -> None:
    def text(count: int) -> str:
        return json.dumps({"version": 1, "jobs": [{"clip": f"{i}.bvh"} for i in range(count)]})

    assert len(parse(text(jobs_file.MAX_JOBS))) == jobs_file.MAX_JOBS
    assert "10,001 jobs" in mistakes(text(jobs_file.MAX_JOBS + 1))[0]


# --- agreement with the schema --------------------------------------------------------------------------------------

_anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**7) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_near: dict[str, st.SearchStrategy[Any]] = {
    "clip": st.sampled_from(["a.bvh", "", "x\u0000", "dir/b.BVH", "a\n", "ü" * 4096, "u" * 4097]),
    "label": st.sampled_from(["Shot", "", "a" * 201, "tab\t"]),
    "character": st.sampled_from(["c.fbx", "C.BLEND", "c.glb\n", "c.obj", ".glb", "c.blend1"]),
    "scene": st.sampled_from(["s.blend", "s.fbx", "s.Blend", "s.blend\n"]),
    "camera": st.sampled_from(["Camera", "", "c" * 256, "x\x7f"]),
    "armature": st.sampled_from(["rig", "", None]),
    "foot_lock": st.sampled_from([True, False, 0, None]),
    "hand_contacts": st.sampled_from([True, False, 1, None]),
    "travel": st.sampled_from(["hips", "root", "in_place", "in-place", "Root", "", None]),
    "map": st.sampled_from(["m.json", "", "m\n", 3]),
    "device": st.sampled_from(["auto", "gpu", "GPU", 1]),
    "trust_scripts": st.sampled_from([True, False, 1, 0, None]),
    "engine": st.sampled_from([*ENGINES, "CYCLES", "", 3]),
    "resolution": st.lists(st.sampled_from([640, 360, 16, 15, 17, 7680, 7682, 640.0, 640.5, "640", True, None]), max_size=3),
    "fps": st.sampled_from([1, 0, 0.999, 24, 29.97, 240, 240.5, True, "24", None]),
    "frames": st.lists(st.sampled_from([1, 48, 0, 1_000_000, 1_000_001, 2.0, 2.5, False]), max_size=3),
    "samples": st.sampled_from([1, 0, 65536, 65537, 16.0, 16.5, True, "4"]),
    "steps": st.lists(st.sampled_from([*STEPS, "bake", 1, True, "read"]), max_size=4),
    "priority": st.sampled_from([0, 100, 101, -1, 50.0, 0.5, False]),
    "prompt": st.sampled_from(["wave", "", " \t\r\n", "walks\nthen waves", "a\u0000", "w" * 2000, "w" * 2001, "\u3000", "🙂", 3]),
    "model": st.sampled_from([*MODELS, "MoMask", "", None, 1]),
    "seconds": st.sampled_from([1, 60, 0.99, 60.5, 4.5, True, "4", None]),
    "seed": st.sampled_from([0, 2**32 - 1, 2**32, -1, 7.0, 7.5, False]),
    "variations": st.sampled_from([1, 100, 0, 101, 3.0, "3"]),
    "guidance": st.sampled_from([0, 20, 20.1, -1, 3.5, "3"]),
    "speed": st.sampled_from([0.05, 0.04, 12, 12.5, True]),
    "bend": st.sampled_from([-360, 360, 361, 0, None]),
    "heading": st.sampled_from([-360, 360, -361, 90.5, "left"]),
    "loop": st.sampled_from([True, False, 1, None]),
    "in_place": st.sampled_from([True, False, 0]),
    "weights": st.sampled_from(["m.safetensors", "", "a\n", 3]),
    "model_device": st.sampled_from([*MODEL_DEVICES, "gpu", 1]),
}


def _fields(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: _near[name] | _anything for name in names})


_clips = st.builds(lambda rest: {"clip": "a.bvh", **rest}, _fields(list(_near)))
_prompts = st.builds(lambda rest: {"prompt": "wave", **rest}, _fields([n for n in _near if n != "clip"]))
_jobs = st.lists(_clips | _prompts | _fields(list(_near)) | _anything, max_size=3)
_documents = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from([1, 1.0, True, 2, "1", None]),
        "jobs": _jobs | _anything,
        "defaults": _fields([n for n in _near if n not in ("label", "prompt", "clip")]) | _anything,
        "$schema": st.just("x") | _anything,
        "odd": _anything,
    },
)


def _valid_by_hand(document: Any) -> bool:
    """The verdict on the document's form: what the schema cannot say (`problems`) does not count."""
    root = located_json.parse(json.dumps(document, ensure_ascii=False), max_depth=64).root
    check = jobs_file._Check(located_json.Places(""), FOLDER, False)
    check.document(root)
    return not [m for m in check.mistakes if not _beyond_the_schema(m.message)]


def _beyond_the_schema(message: str) -> bool:
    beyond = ("comes before the first", "needs a `scene`", "Workbench takes none", "is only for ", "(with the model ")
    return any(words in message for words in beyond)


@settings(max_examples=600, deadline=None)
@given(_documents | st.builds(lambda jobs: {"version": 1, "jobs": jobs}, _jobs) | _anything)
def test_schema_and_hand_written_checks_agree(document: Any) -> None:
    assert VALIDATOR.is_valid(document) == _valid_by_hand(document)


@settings(max_examples=300, deadline=None)
@given(_anything)
def test_reading_with_places_gives_what_json_gives(value: Any) -> None:
    text = json.dumps(value, indent=1)
    assert jobs_file.plain(located_json.parse(text, max_depth=64).root) == json.loads(text)


# --- fuzzing ----------------------------------------------------------------------------------------------------------


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_shots_or_a_documented_error(data: bytes) -> None:
    assert fuzz_jobs.verdict(data) in fuzz_jobs.DOCUMENTED


def test_mutations_of_a_good_file_give_shots_or_a_documented_error() -> None:
    counts = fuzz_jobs.run(3000, seed=7)
    assert sum(counts.values()) == 3000
    assert counts["ok"] and counts["jobs_file_invalid"] and counts["jobs_file_not_json"]


def test_mutations_are_the_same_for_the_same_seed() -> None:
    seed = copy.copy(fuzz_jobs.SEED)
    assert fuzz_jobs.mutate(seed, random.Random(3)) == fuzz_jobs.mutate(seed, random.Random(3))
