# SPDX-License-Identifier: GPL-3.0-or-later
"""Published motion models are offered where they are set on this machine, with their licence, and asked for where chosen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

from motion_queue.backends.published.model import Which  # noqa: E402
from motion_queue.panels import facts, shot  # noqa: E402

from .conftest import Interface  # noqa: E402
from .test_list import Layout  # noqa: E402

Set = Callable[..., None]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file of models; SnapMoGen's is set, though its checkout is not there."""
    path = tmp_path / "models.json"
    monkeypatch.setenv("MOTION_QUEUE_MODELS", str(path))
    options = {"checkout": str(tmp_path / "SnapMoGen"), "python": sys.executable}
    path.write_text(json.dumps({"version": 1, "models": {"momask++": options}}))
    return path


def drawn(ui: Interface) -> str:
    layout = Layout()
    shot.draw_shot(layout, ui.now, ui.shot, facts.draft(bpy.context, with_text=False))
    return " ".join(layout.drawn)


def test_a_model_that_is_set_is_offered_with_its_licence_and_ours_is_the_default(models: Path, held: Interface) -> None:
    held.until(lambda: held.now.models == (Which.MOMASK_PLUS,))
    assert held.shot.model == "BUILTIN" and "[model]" in drawn(held) and "Licence" not in drawn(held)
    held.shot.model = "MOMASK_PLUS"
    assert "non-commercial" in drawn(held)
    held.shot.prompt, held.shot.character, held.shot.deliver = "a person juggles three torches", "BUILTIN", False
    job_id = held.submit()
    assert held.engine.get(job_id).payload["model"] == "momask++"
    assert held.engine.get(job_id).payload["prompt"] == "a person juggles three torches", "no vocabulary is asked"


def test_a_model_that_is_not_set_is_refused_with_what_to_do(models: Path, held: Interface) -> None:
    held.until(lambda: held.now.models)
    held.shot.model, held.shot.prompt, held.shot.character, held.shot.deliver = "MOMASK", "jumps", "BUILTIN", False
    with pytest.raises(RuntimeError, match="models set momask"):
        held.run("submit")


def test_the_test_of_the_set_up_says_what_a_model_lacks_and_reads_the_file_anew(models: Path, held: Interface) -> None:
    held.until(lambda: held.now.models)
    assert held.run("test_setup") == {"FINISHED"}
    held.until(lambda: not held.now.testing)
    found = dict(held.now.health)[Which.MOMASK_PLUS.label]
    assert not found.ok and "SnapMoGen" in found.message and "non-commercial" in found.message
    models.unlink()
    assert held.run("test_setup") == {"FINISHED"}
    held.until(lambda: not held.now.testing)
    held.until(lambda: held.now.models == ())


def test_a_damaged_file_of_models_is_told_and_the_queue_opens(models: Path, state: Path) -> None:
    models.write_text("{")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    ui = Interface()
    ui.session.start()
    try:
        assert ui.now.phase == "ready" and ui.now.models == ()
        ui.until(lambda: ui.now.notices)
        assert str(models) in ui.now.notices[0].text
    finally:
        ui.session.unregister()
