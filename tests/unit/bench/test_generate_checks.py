# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometry checks on motion made for them; that they hold on real clips is in the benchmark's report."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from unit.bench import bodies

from motion_queue.scripts.bench import generate
from motion_queue.scripts.bench.generate_eval import body, checks, pack, prompts, studies
from motion_queue.scripts.cli.exit_codes import InputError
from motion_queue.scripts.make_sample import walk

_PACK = Path(__file__).resolve().parents[4] / "shared" / "motion_data"


def _passing(source: body.Track) -> set[str]:
    return {check.name for check in prompts.all_checks() if check.passes(source)}


def _sample_walk() -> body.Track:
    """The project's own walk, brought onto the body by name."""
    sample = walk()
    order = [sample.skeleton.names.index(name) for name in body.JOINTS]
    figure = bodies.motion(len(sample), root=sample.positions[:, order[0]] * [1.0, 1.0, 1.0])
    return body.track(
        type(figure)(
            skeleton=figure.skeleton,
            rotations=sample.rotations[:, order],
            positions=figure.positions,
            frame_time=sample.frame_time,
        )
    )


def test_there_are_twenty_prompts_with_names_of_their_own() -> None:
    found = prompts.all_checks()
    assert len(found) == len({c.name for c in found}) == len({c.prompt for c in found}) == 20


def test_a_walk_walks_forward_and_does_nothing_else() -> None:
    assert _passing(_sample_walk()) == {"walk forward"}


def test_a_walk_played_backward_walks_backward() -> None:
    source = _sample_walk()
    assert _passing(body.Track(joints=source.joints[::-1], soles=source.soles[::-1], heading=source.heading[::-1])) == {
        "walk backward"
    }


def test_standing_passes_nothing_and_neither_does_gliding() -> None:
    assert _passing(bodies.standing()) == set()
    assert _passing(bodies.gliding(1.2)) == set()


@pytest.mark.parametrize(("side", "name"), [("l", "wave left"), ("r", "wave right")])
def test_a_wave_is_of_its_hand(side: str, name: str) -> None:
    assert _passing(bodies.waving(side)) == {name}


def test_an_arm_that_is_held_up_still_does_not_wave() -> None:
    source = bodies.waving("l")
    still = body.Track(
        joints=np.repeat(source.joints[:1], 90, axis=0), soles=np.repeat(source.soles[:1], 90, axis=0), heading=np.zeros(90)
    )
    assert not checks.waving(still, "l")


@pytest.mark.parametrize("degrees", [180.0, -180.0])
def test_half_a_turn_turns_around(degrees: float) -> None:
    assert "turn around" in _passing(bodies.turning(degrees))


def test_a_quarter_turn_does_not_turn_around() -> None:
    assert "turn around" not in _passing(bodies.turning(90.0))


def test_a_body_that_leaves_the_floor_jumps_and_one_that_floats_does_not() -> None:
    times = np.linspace(-1.0, 1.0, 90)
    by = np.zeros((90, 3))
    by[:, 1] = np.maximum(0.0, 0.4 - 6.0 * times**2)
    assert _passing(bodies.moved(bodies.standing(), by)) == {"jump"}
    by[:, 2] = np.linspace(0.0, 1.0, 90)
    assert "jump forward" in _passing(bodies.moved(bodies.standing(), by))
    by[:] = [0.0, 0.4, 0.0]
    assert _passing(bodies.moved(bodies.standing(), by)) == set()


def test_prompts_are_chosen_by_name_or_number() -> None:
    assert [c.name for c in studies.chosen(["1", "jump"])] == ["walk forward", "jump"]
    assert len(studies.chosen([])) == 20
    with pytest.raises(InputError) as caught:
        studies.chosen(["swim"])
    assert caught.value.code == "unknown_prompt"


def test_a_folder_without_the_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data") as caught:
        pack.read(tmp_path)
    assert caught.value.code == "motion_pack_missing"
    (tmp_path / "captions.jsonl").write_text("{", encoding="utf-8")
    (tmp_path / "motions.npz").write_bytes(b"PK")
    with pytest.raises(InputError) as caught:
        pack.read(tmp_path)
    assert caught.value.code == "motion_pack_unreadable"


def test_the_benchmark_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"requirements\.txt") as caught:
        generate.run([])
    assert caught.value.code == "bench_module_missing"


@pytest.mark.skipif(not (_PACK / "motions.npz").is_file(), reason="the motion data is not beside this checkout")
def test_checks_pass_real_clips_that_do_it_and_few_others() -> None:
    clips = pack.read(_PACK)
    done = [check.passes(t) for check in prompts.all_checks() for _, t in prompts.real_cases(check, clips)]
    assert np.mean(done) > 0.93
    some = clips[::6]
    wrong = [check.passes(t) for check in prompts.all_checks() for _, t in prompts.other_cases(check, some)]
    assert np.mean(wrong) < 0.01


def test_every_prompt_has_other_wordings_none_twice() -> None:
    sets = prompts.wordings()
    names = {check.name for check in prompts.all_checks()}
    assert list(sets) == ["known", "held_back"]
    assert all(set(sentences) == names and all(len(said) == 4 for said in sentences.values()) for sentences in sets.values())
    every = [text.casefold() for sentences in sets.values() for said in sentences.values() for text in said]
    assert len(every) == len(set(every))
