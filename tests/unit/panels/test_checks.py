# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a new shot is said before it is queued, and never wrongly; and nothing is ever written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_queue.panels import checks
from motion_queue.panels.checks import Armature, Character, Draft, Facts, Length, Source

FACTS = Facts(blend="/shots/film.blend", armature=Armature(name="Rig"))
GOOD = Draft(prompt="a person walks forward", output="//motion/{shot}_{take}_v{version}", facts=FACTS)


def fields(draft: Draft) -> list[str]:
    return [problem.field for problem in checks.problems(draft)]


def test_a_shot_that_lacks_nothing_has_no_problem() -> None:
    assert checks.problems(GOOD) == ()
    assert checks.problems(GOOD._replace(render=True)) == ()


@pytest.mark.parametrize(
    ("changes", "facts", "field"),
    [
        ({"prompt": "  "}, {}, "prompt"),
        ({"prompt": "xyzzy"}, {}, "prompt"),
        ({"source": Source.CLIP}, {}, "clip"),
        ({"source": Source.CLIP, "clip": "/a/b.fbx"}, {}, "clip"),
        ({"source": Source.CLIP, "clip": "//b.bvh"}, {"blend": ""}, "clip"),
        ({"source": Source.FOLDER}, {}, "folder"),
        ({"source": Source.LIST}, {}, "text"),
        ({"source": Source.LIST, "text": "Gone"}, {}, "text"),
        ({"source": Source.LIST, "text": "Text"}, {"text": "# nothing\n"}, "text"),
        ({"source": Source.LIST, "text": "Text"}, {"text": "walks\nxyzzy\n"}, "text"),
        ({}, {"armature": None}, "character"),
        ({}, {"armature": Armature(name="Rig", bones=0)}, "character"),
        ({}, {"armature": Armature(name="Rig", edited=True)}, "character"),
        ({}, {"armature": Armature(name="Rig", missing=True)}, "character"),
        ({"character": Character.FILE}, {}, "character_file"),
        ({"character": Character.FILE, "character_file": "/a/b.png"}, {}, "character_file"),
        ({"length": Length.PREVIEW}, {}, "length"),
        ({"length": Length.SCENE}, {"frames": (1, 9000)}, "length"),
        ({"render": True}, {"has_camera": False}, "render"),
        ({"render": True}, {"engine": "", "engine_id": "APPLESEED"}, "render"),
        ({"render": True}, {"unbaked": ("Cloth",)}, "render"),
        ({"output": ""}, {}, "output"),
        ({"output": "//{shoot}"}, {}, "output"),
        ({"output": "//{shot"}, {}, "output"),
        ({"output": "motion"}, {}, "output"),
        ({}, {"blend": ""}, "output"),
    ],
)
def test_each_lack_is_named_at_its_field(changes: dict[str, object], facts: dict[str, object], field: str) -> None:
    draft = GOOD._replace(facts=FACTS._replace(**facts), **changes)  # type: ignore[arg-type]
    assert field in fields(draft)
    assert all(problem.message for problem in checks.problems(draft))


def test_a_camera_and_baked_simulations_are_needed_only_for_the_scene_itself() -> None:
    bare = FACTS._replace(has_camera=False, unbaked=("Cloth",))
    assert fields(GOOD._replace(facts=bare)) == []
    assert fields(GOOD._replace(facts=bare, render=True, character=Character.BUILTIN)) == []


def test_a_shot_whose_files_stay_with_the_queue_needs_no_saved_file() -> None:
    assert fields(GOOD._replace(deliver=False, facts=FACTS._replace(blend=""))) == []


def test_a_shot_list_tells_prompts_from_clips() -> None:
    found = checks.shot_list("# film\nwalks\n\n  /a/b.BVH \nclips/c.bvh\n//d.bvh\n", "/shots/film.blend")
    assert [(line.number, line.prompt, line.clip) for line in found] == [
        (2, "walks", ""),
        (4, "", "/a/b.BVH"),
        (5, "", "/shots/clips/c.bvh"),
        (6, "", "/shots/d.bvh"),
    ]


def test_the_disk_tells_what_is_not_there(tmp_path: Path) -> None:
    draft = GOOD._replace(output=str(tmp_path / "{shot}"))
    assert checks.disk_problems(draft) == ()
    missing = draft._replace(source=Source.CLIP, clip=str(tmp_path / "no.bvh"))
    assert [problem.field for problem in checks.disk_problems(missing)] == ["clip"]
    empty = draft._replace(source=Source.FOLDER, folder=str(tmp_path))
    assert [problem.field for problem in checks.disk_problems(empty)] == ["folder"]
    (tmp_path / "a.BVH").touch()
    assert checks.disk_problems(empty) == () and checks.clips_in(str(tmp_path)) == (str(tmp_path / "a.BVH"),)
    character = draft._replace(character=Character.FILE, character_file=str(tmp_path / "no.fbx"))
    assert [problem.field for problem in checks.disk_problems(character)] == ["character_file"]


def test_the_output_takes_the_first_version_that_nobody_has(tmp_path: Path) -> None:
    draft = GOOD._replace(output=str(tmp_path / "{scene}" / "{shot}_{take}_v{version}"))
    folder, name = checks.output_place(draft, "Walk: home?", 2)
    assert folder == str(tmp_path / "Scene")
    assert name.endswith("_02_v001") and ":" not in name and "?" not in name
    (tmp_path / "Scene" / name).mkdir(parents=True)
    assert checks.output_place(draft, "Walk: home?", 2)[1].endswith("_02_v002")
    taken = {folder: [name.replace("001", "002")]}
    assert checks.output_place(draft, "Walk: home?", 2, taken)[1].endswith("_02_v003")


def test_an_output_without_a_name_gets_the_shots_and_none_leaves_the_folder(tmp_path: Path) -> None:
    assert checks.output_place(GOOD._replace(output=str(tmp_path)), "walk", 1) == (str(tmp_path), "walk")
    assert checks.output_place(GOOD._replace(output=f"{tmp_path}/{{shot}}"), "../../etc", 1)[0] == str(tmp_path)
    assert "/" not in checks.output_place(GOOD._replace(output=f"{tmp_path}/{{shot}}"), "../../etc", 1)[1]
    assert checks.output_place(GOOD._replace(deliver=False), "walk", 1) == ("", "walk")


def test_words_that_are_not_used_are_said() -> None:
    assert "juggles" in checks.prompt_note(GOOD._replace(prompt="a person walks and juggles"))
    assert [checks.prompt_note(GOOD._replace(prompt=prompt)) for prompt in ("a person walks forward", "xyzzy", " ")] == [""] * 3
