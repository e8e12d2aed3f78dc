# SPDX-License-Identifier: GPL-3.0-or-later
"""What is typed for `run` and `generate`, and what becomes of it before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_queue.persistence import models_file
from motion_queue.queue.errors import MotionQueueError
from motion_queue.scripts.cli import arguments
from motion_queue.scripts.cli.generate import asked
from motion_queue.scripts.cli.request import shots_of
from motion_queue.scripts.cli.session import payload
from motion_queue.scripts.shots import Shot
from motion_queue.tests.unit.generate.weights_file import write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_weights(tmp_path_factory.mktemp("weights") / "model.safetensors"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "take.bvh"
    path.write_text("HIERARCHY", encoding="utf-8")
    return path


def typed(weights: str, *words: str) -> tuple[Shot, ...]:
    return shots_of(arguments.parser().parse_args(["run", *words, "--out", "out", "--weights", weights]))


def refused(weights: str, *words: str) -> MotionQueueError:
    with pytest.raises(MotionQueueError) as caught:
        typed(weights, *words)
    return caught.value


def test_an_existing_path_or_a_bvh_name_is_a_clip_and_anything_else_a_prompt(
    weights: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walks").write_text("a file of that name", encoding="utf-8")
    shots = typed(weights, "walks", str(clip), "walks forward")
    assert [(shot.clip, shot.prompt) for shot in shots] == [(tmp_path / "walks", ""), (clip, ""), (None, "walks forward")]
    assert "there is no file" in refused(weights, "gone.BVH", "walks forward").message


@pytest.mark.parametrize("prompt", ["w" * 10_000, "walks/" * 1000, "a\x00b", "🙂" * 300, "-", "con", "\n"])
def test_whatever_is_typed_is_a_shot_or_a_documented_error(weights: str, prompt: str) -> None:
    assert refused(weights, prompt).code.startswith("prompt_")


def test_options_go_to_what_they_are_for(weights: str, clip: Path) -> None:
    walk, take = typed(weights, "walks", str(clip), "--seconds", "4", "--seed", "9", "--frames", "1-9", "--loop", "--fps", "24")
    assert (walk.seconds, walk.seed, walk.loop, walk.frames, walk.fps) == (4.0, 9, True, None, 24.0)
    assert (take.seconds, take.seed, take.loop, take.frames, take.fps) == (None, 1, False, (1, 9), 24.0)
    assert refused(weights, "walks", "--frames", "1-9").code == "arguments_conflict"


def test_variations_are_jobs_with_numbers_and_seeds_of_their_own(weights: str) -> None:
    shots = typed(weights, "walks forward", "--variations", "3", "--seed", "4")
    assert [shot.name for shot in shots] == ["walks forward_01", "walks forward_02", "walks forward_03"]
    values = [payload(shot, Path("/out")) for shot in shots]
    assert [value["seed"] + value["variation"] for value in values] == [4, 5, 6]
    assert values[0]["steps"] == ["generate", "retarget", "render", "deliver"]


def test_words_of_one_prompt_without_quotes_get_a_hint(weights: str) -> None:
    error = refused(weights, "a", "person", "walks")
    assert error.code in ("prompt_not_understood", "prompt_empty") and "quotes" in error.message
    assert "quotes" not in refused(weights, "juggles").message


def test_a_file_of_prompts_is_checked_line_by_line(weights: str, tmp_path: Path) -> None:
    path = tmp_path / "shots.txt"
    path.write_text("# shots\nwalks\njuggles\n\nsings\njumps twice\n", encoding="utf-8")
    error = refused(weights, "--prompts", str(path))
    assert error.code == "prompts_file_invalid"
    assert error.message.splitlines() == [
        f"shots.txt:{line}: nothing in it is a motion that is known (not understood: {word}); "
        "`mq.py generate --known` lists what is [prompt_not_understood]"
        for line, word in ((3, "juggles"), (5, "sings"))
    ]
    assert refused("gone.safetensors", "--prompts", str(path)).code == "weights_missing"
    path.write_text("walks\njumps twice\n", encoding="utf-8")
    assert [shot.prompt for shot in typed(weights, "waves", "--prompts", str(path))] == ["waves", "walks", "jumps twice"]
    assert refused(weights, "--prompts", str(path), "--jobs", "jobs.json").code == "arguments_conflict"


def test_too_many_jobs_are_refused(weights: str, tmp_path: Path) -> None:
    path = tmp_path / "shots.txt"
    path.write_text("walks\n" * 200, encoding="utf-8")
    assert refused(weights, "--prompts", str(path), "--variations", "100").code == "too_many_jobs"


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "nan", "inf", "", "four"])
def test_a_length_that_cannot_be_is_refused(weights: str, text: str) -> None:
    with pytest.raises(SystemExit) as end:
        typed(weights, "walks", "--seconds", text)
    assert end.value.code == 2


def test_poses_are_a_file_and_perhaps_a_frame() -> None:
    assert arguments.read_pose_place("sit.bvh") == (Path("sit.bvh"), 1)
    assert arguments.read_pose_place("takes/sit.bvh:12") == (Path("takes/sit.bvh"), 12)
    assert arguments.read_pose_place("C:sit.bvh") == (Path("C:sit.bvh"), 1)
    with pytest.raises(ValueError, match="between"):
        arguments.read_pose_place("sit.bvh:0")


def test_a_path_is_pairs_of_numbers() -> None:
    assert arguments.read_path("0,2; -1.5,4;") == ((0.0, 2.0), (-1.5, 4.0))
    with pytest.raises(ValueError, match="pairs"):
        arguments.read_path("0,2;3")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["walks", "--out", "x.bvh", "--path", "0,nan"], "invalid_options"),
        ([], "prompt_empty"),
        (["walks"], "arguments_conflict"),
        (["walks", "--out", "walk.fbx"], "arguments_conflict"),
        (["juggles", "--out", "x.bvh"], "prompt_not_understood"),
        (["walks", "--out", "x.bvh", "--start-pose", "gone.bvh"], "input_missing"),
        (["walks", "--out", "x.bvh", "--loop", "--end-pose", __file__], "arguments_conflict"),
    ],
)
def test_what_cannot_be_generated_is_said_before_it_is_tried(weights: str, words: list[str], code: str) -> None:
    with pytest.raises(MotionQueueError) as caught:
        asked(arguments.parser().parse_args(["generate", *words, "--weights", weights]))
    assert caught.value.code == code


def test_variations_of_a_motion_are_files_with_numbers(weights: str, tmp_path: Path) -> None:
    words = ["generate", "walks", "--variations", "2", "--out", str(tmp_path / "w.bvh"), "--weights", weights]
    assert [path.name for path in asked(arguments.parser().parse_args(words)).targets] == ["w_01.bvh", "w_02.bvh"]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings in which MoMask is set, though nothing of it is there."""
    path = tmp_path / "models.json"
    monkeypatch.setenv(models_file.ENVIRONMENT, str(path))
    models_file.write(path, {"momask": {"checkout": "/m", "python": "/p"}})
    return path


def run_with(*words: str) -> tuple[Shot, ...]:
    return shots_of(arguments.parser().parse_args(["run", *words, "--out", "out"]))


def test_a_published_model_takes_any_words_and_its_options_stand_in_the_payload(published: Path) -> None:
    (shot,) = run_with("juggles three torches", "--model", "momask", "--seconds", "4", "--loop", "--model-device", "auto")
    values = payload(shot, Path("/out"))
    assert (values["model"], values["seconds"], values["loop"], values["model_device"]) == ("momask", 4.0, True, "auto")
    assert not {"bend", "weights", "guidance"} & set(values)


def test_the_built_in_model_has_no_name_and_no_device_in_the_payload(weights: str) -> None:
    (shot,) = typed(weights, "walks", "--model", "builtin")
    assert not {"model", "model_device"} & set(payload(shot, Path("/out")))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["juggles torches", "--model", "momask++"], "published_not_set", "momask++"),
        (["juggles torches", "--model", "momask", "--bend", "20"], "arguments_conflict", "--bend"),
        (["juggles torches", "--model", "momask", "--seconds", "20"], "arguments_conflict", "--seconds"),
        (["juggles torches", "--model", "momask", "--model-device", "numpy"], "arguments_conflict", "--model-device"),
        (["w" * 1001 + " torches", "--model", "momask"], "arguments_conflict", "The prompt is longer than 1,000 characters"),
        (["juggles", "three", "torches", "--model", "momask"], "arguments_conflict", "quotes"),
    ],
)
def test_what_a_published_model_does_not_have_is_said_before_anything_starts(
    published: Path, words: list[str], code: str, said: str
) -> None:
    with pytest.raises(MotionQueueError) as caught:
        run_with(*words)
    assert caught.value.code == code and said in caught.value.message


def test_a_file_of_prompts_for_a_published_model_is_checked_line_by_line(published: Path, tmp_path: Path) -> None:
    path = tmp_path / "shots.txt"
    path.write_text("juggles\nsings\n" + "w" * 1500 + "\n", encoding="utf-8")
    with pytest.raises(MotionQueueError) as caught:
        run_with("--prompts", str(path), "--model", "momask")
    assert caught.value.message == "shots.txt:3: is longer than 1,000 characters (with the model momask)"
    with pytest.raises(MotionQueueError) as caught:
        run_with("--prompts", str(path), "--model", "momask++")
    assert caught.value.code == "published_not_set"
    path.write_text("juggles\nsings\n", encoding="utf-8")
    assert [shot.prompt for shot in run_with("--prompts", str(path), "--model", "momask")] == ["juggles", "sings"]


def run_refused(*words: str) -> MotionQueueError:
    with pytest.raises(MotionQueueError) as caught:
        run_with(*words)
    return caught.value


def test_every_motion_goes_onto_every_character_under_a_name_that_tells(weights: str, clip: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("hero.fbx", "hero.glb", "old/hero.fbx")]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    several = [word for path in files for word in ("--character", str(path))]

    one = run_with(str(clip), *several[:2])
    two = typed(weights, str(clip), "waves", *several[:4], "--variations", "2")
    three = run_with(str(clip), *several)

    assert [(shot.name, shot.character) for shot in one] == [("take", files[0])]
    assert [shot.name for shot in two] == [
        "take_hero.fbx", "take_hero.glb",
        "waves_hero.fbx_01", "waves_hero.fbx_02", "waves_hero.glb_01", "waves_hero.glb_02",
    ]  # fmt: skip
    assert [shot.character for shot in two] == [files[0], files[1], files[0], files[0], files[1], files[1]]
    assert len({shot.name for shot in three}) == 3 and three[2].name == "take_old_hero.fbx"
    assert run_refused(str(clip), *several[:2], *several[:2]).code == "arguments_conflict"
    many = [str(clip)] * 101, [word for i in range(100) for word in ("--character", str(tmp_path / f"{i}.fbx"))]
    assert run_refused(*many[0], *many[1]).code == "too_many_jobs"


def test_clips_of_one_name_are_told_apart_by_their_folders(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "second" / clip.name
    other.parent.mkdir()
    other.write_bytes(clip.read_bytes())
    for name in ("a.fbx", "b.fbx"):
        (tmp_path / name).write_bytes(b"x")
    characters = ["--character", str(tmp_path / "a.fbx"), "--character", str(tmp_path / "b.fbx")]
    names = [shot.name for shot in run_with(str(clip), str(other), *characters)]
    assert names == [f"{folder}_take.bvh_{who}" for folder in (tmp_path.name, "second") for who in "ab"]


def test_how_a_shot_is_retargeted_stands_in_its_job(clip: Path, tmp_path: Path) -> None:
    (path := tmp_path / "map.json").write_text("{}", encoding="utf-8")
    (shot,) = run_with(str(clip), "--no-foot-lock", "--hand-contacts", "--travel", "in-place", "--map", str(path))
    values = payload(shot, Path("/out"))
    assert (values["foot_lock"], values["hand_contacts"], values["travel"], shot.map) == (False, True, "in_place", path)
    (plain,) = run_with(str(clip))
    assert not {"foot_lock", "hand_contacts", "travel", "map"} & set(payload(plain, Path("/out")))
    error = run_refused(str(clip), "--map", str(tmp_path / "gone.json"))
    assert error.code == "input_unreadable" and error.message.startswith("--map: there is no file")
    assert run_refused("--jobs", "x.json", "--no-foot-lock").message.startswith("--no-foot-lock: with --jobs")
