# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that come along: they are there, small enough, read fast, and do what the README's first command asks of them.

Nothing here is skipped where the file is missing: without it the product has no motion of its own.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from motion_queue.app import App, Settings
from motion_queue.backends.generate.backend import GenerateBackend
from motion_queue.backends.generate.generator import GenerateOptions, Generator, report_json
from motion_queue.backends.generate.header import SHIPPED, read_header
from motion_queue.backends.generate.options import vocabulary
from motion_queue.backends.generate.prompt import ACTIONS, explain_retrieved, known_actions
from motion_queue.motion.bvh import read_bvh
from motion_queue.scripts import build

LARGEST = 25_000_000  # bytes


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.load()


def test_the_weights_are_there_and_small_enough() -> None:
    assert SHIPPED.is_file()
    assert SHIPPED.stat().st_size <= LARGEST
    assert len(read_header().words) > 50


def test_the_zip_holds_them(tmp_path: Path) -> None:
    made = build.build(tmp_path, blender=None)
    with zipfile.ZipFile(made) as archive:
        entry = archive.getinfo("backends/generate/model.safetensors")
        assert entry.compress_size <= LARGEST
        assert archive.read(entry) == SHIPPED.read_bytes()


def test_the_model_knows_the_words_that_prompts_are_made_of() -> None:
    words = set(vocabulary())
    assert {"walk", "run", "jump", "wave", "turn", "kick", "forward", "backward", "left", "right"} <= words
    assert len(known_actions(words)) > 0.8 * len(ACTIONS)


def test_every_known_action_has_an_example_that_is_understood_whole(generator: Generator) -> None:
    for action, example in known_actions(vocabulary()):
        timeline = generator.read(example)
        assert any(action in (segment.action, *segment.words) for segment in timeline.segments), (action, example)
        assert not timeline.unmatched, (action, example, timeline.unmatched)


def test_a_walk_forward_goes_forward_on_two_feet(generator: Generator) -> None:
    motion = generator.generate("a person walks forward", GenerateOptions(seconds=4.0, seed=1)).motion
    root = motion.positions[:, 0] / 100.0
    assert root[-1, 2] - root[0, 2] > 2.0
    assert abs(root[-1, 0] - root[0, 0]) < 0.7
    assert root[:, 1].min() > 0.75 and root[:, 1].max() < 1.1


def test_seeds_differ_and_the_same_seed_does_not(generator: Generator) -> None:
    first, again, other = (
        generator.generate("waves", GenerateOptions(seconds=3.0, seed=seed)).motion.rotations for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_what_was_modelled_on_a_clip_says_so(generator: Generator) -> None:
    """Four clips show somebody sitting down: one of them is what a motion is held to."""
    made = generator.generate("a person sits down", GenerateOptions(seconds=3.0, seed=1))
    found = made.report.retrieved[0].clip
    assert "sit" in found and all(0.0 <= r.share <= 1.0 for r in made.report.retrieved)
    assert all(r.start + r.seconds <= made.report.seconds + 1e-6 for r in made.report.retrieved)
    told = report_json(made)["retrieved"]
    assert found in explain_retrieved(told)


def test_variations_differ(generator: Generator) -> None:
    for prompt in ("a person walks forward", "a person sits down", "a person kicks with the right leg"):
        made = {
            generator.generate(prompt, GenerateOptions(seconds=3.0, seed=seed)).motion.rotations.tobytes() for seed in range(6)
        }
        assert len(made) >= 5, prompt


def test_health_is_good(tmp_path: Path) -> None:
    with App.open(Settings(state_dir=tmp_path / "state")) as app:
        assert GenerateBackend(app.children).health().ok


def test_the_first_command_of_the_readme_is_understood_whole(checkout: Path) -> None:
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    prompt = readme.partition('python3 scripts/mq.py run "')[2].partition('"')[0]
    entry = [sys.executable, str(checkout / "scripts" / "mq.py"), "generate", prompt, "--explain"]
    done = subprocess.run(entry, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Every word was understood." in done.stdout


def test_generate_needs_no_weights_named(tmp_path: Path) -> None:
    out = tmp_path / "wave.bvh"
    command = [sys.executable, "-I", "-m", "motion_queue.scripts.cli", "generate", "waves", "--seconds", "2", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_bvh(out)) == 60
