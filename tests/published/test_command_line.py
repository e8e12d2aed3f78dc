# SPDX-License-Identifier: GPL-3.0-or-later
"""Published models as a person uses them: set once, checked, and then asked for by `generate`, `run`, and in a jobs file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends.published.model import PublishedModel, Which
from motion_queue.motion.bvh import read_bvh
from motion_queue.persistence import models_file
from motion_queue.scripts.cli import main as cli
from motion_queue.tests.children.support import own_descendants, wait_gone

from .conftest import Installed

WHICH = pytest.mark.parametrize("which", list(Which), ids=[w.name.lower() for w in Which])
MODULE = ("-I", "-m", "motion_queue.scripts.cli")
Here = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of models of the test's own, for every process that it starts."""
    path = tmp_path / "settings" / "models.json"
    monkeypatch.setenv(models_file.ENVIRONMENT, str(path))
    monkeypatch.setenv("MOTION_QUEUE_STATE", str(tmp_path / "state"))
    return path


def mq(*arguments: str, entry: tuple[str, ...] = MODULE) -> subprocess.CompletedProcess[str]:
    """Run it as a process of its own."""
    return subprocess.run([sys.executable, *entry, *arguments], capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run it in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return cli.main(arguments), *capsys.readouterr()

    return run


@pytest.fixture
def refused(here: Here) -> Callable[..., str]:
    """The message with which a command line is refused before anything is done."""

    def run(code: str, *arguments: str) -> str:
        done, out, errors = here(*arguments)
        assert done == 2, out + errors
        assert errors.rstrip().endswith(f"[{code}]"), errors
        return errors

    return run


def events(output: str, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in output.splitlines()]
    return [event for event in found if event["event"] == kind]


def put(settings: Path, installed: Installed, **changes: Any) -> PublishedModel:
    model = installed.model(**changes)
    models_file.write(settings, {str(model.which): model.to_options()})
    return model


# --- settings, without any checkout -------------------------------------------------------------------------------------


def test_nothing_is_set_at_first_and_the_list_says_so_with_the_licences(settings: Path, checkout: Path, here: Here) -> None:
    done = mq("models", entry=(str(checkout / "scripts" / "mq.py"),))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not set") == 2 and "non-commercial" in done.stdout and str(settings) in done.stdout
    listed = events(here("models", "--json")[1], "model")
    assert [(value["model"], value["set"]) for value in listed] == [("momask", False), ("momask++", False)]
    assert not settings.exists()


def test_what_is_set_is_kept_changed_and_forgotten(
    settings: Path, tmp_path: Path, here: Here, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clone").mkdir()
    done, out, _ = here("models", "set", "momask++", "--checkout", "clone", "--python", sys.executable, "--memory", "4000")
    assert done == 1, "it is kept, though it cannot be used yet"
    assert "non-commercial" in out and "published_checkout_foreign" in out
    kept = {"checkout": str(tmp_path / "clone"), "python": sys.executable, "device": "auto", "memory_limit_mb": 4000.0}
    assert models_file.read(settings) == {"momask++": kept}
    here("models", "set", "momask++", "--device", "cpu", "--memory", "", "--text-encoder", "t5")
    assert models_file.read(settings)["momask++"] == {
        "checkout": str(tmp_path / "clone"), "python": sys.executable, "device": "cpu", "text_encoder": str(tmp_path / "t5"),
    }  # fmt: skip
    here("models", "set", "momask", "--checkout", "~/gone", "--python", "/gone/python")
    assert models_file.read(settings)["momask"]["checkout"] == str(Path.home() / "gone")
    listed = {value["model"]: value for value in events(here("models", "--json")[1], "model")}
    codes = [problem["code"] for problem in listed["momask"]["problems"]]
    assert codes[:2] == ["published_python_missing", "published_checkout_missing"]
    assert here("models", "forget", "momask++")[0] == 0
    assert list(models_file.read(settings)) == ["momask"]
    refused("published_not_set", "models", "forget", "momask++")


def test_a_python_is_found_on_the_path_and_not_followed_out_of_its_environment(
    settings: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python-of-mine").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    here("models", "set", "momask", "--checkout", str(tmp_path), "--python", "python-of-mine")
    assert models_file.read(settings)["momask"]["python"] == str(tmp_path / "python-of-mine")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set", "momask", "--python", "python3"], "invalid_options"),
        (["set", "momask"], "arguments_conflict"),
        (["set", "momask", "--checkout", "/x", "--python", "p", "--memory", "1"], "invalid_options"),
        (["set", "momask", "--checkout", "/x", "--python", "p", "--memory", "nan"], "invalid_options"),
        (["set", "momask", "--checkout", "/x", "--python", "p", "--transformer", "../up"], "invalid_options"),
        (["set", "momask", "--checkout", "x" * 5000, "--python", "p"], "invalid_options"),
        (["check"], "published_not_set"),
        (["check", "momask"], "published_not_set"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_written(
    settings: Path, refused: Refused, arguments: list[str], code: str
) -> None:
    refused(code, "models", *arguments)
    assert not settings.exists()


@pytest.mark.parametrize(
    "arguments", [["set", "mdm", "--checkout", "/x"], ["check", "momsk"], ["set"], ["set", "momask", "--device", "tpu"]]
)
def test_what_is_no_model_and_no_device_is_a_usage_error(settings: Path, here: Here, arguments: list[str]) -> None:
    done, _, errors = here("models", *arguments)
    assert done == 2 and "usage: mq.py models" in errors and not settings.exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{ half", "models_file_invalid"),
        ('{"version": 9}', "newer_version"),
        ('{"version": 1, "models": {"momask": {"checkout": 3}}}', "published_settings_invalid"),
    ],
)
def test_a_damaged_file_is_told_by_every_command_and_overwritten_by_none(
    settings: Path, tmp_path: Path, refused: Refused, content: str, code: str
) -> None:
    settings.parent.mkdir()
    settings.write_text(content, encoding="utf-8")
    out = str(tmp_path / "x.bvh")
    for arguments in (
        ["models"],
        ["models", "set", "momask", "--checkout", "/x", "--python", "/y"],
        ["models", "forget", "momask"],
        ["models", "check"],
        ["generate", "juggles", "--model", "momask", "--out", out],
        ["run", "a person juggles", "--model", "momask", "--out", str(tmp_path / "out")],
    ):
        assert str(settings) in refused(code, *arguments)
    assert settings.read_text(encoding="utf-8") == content and not (tmp_path / "state").exists()


# --- asking for one, without any checkout ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], "published_not_set", "mq.py models set momask"),
        (["--bend", "20"], "invalid_options", "bend"),
        (["--path", "0,1"], "invalid_options", "path"),
        (["--end-pose", "sit.bvh"], "invalid_options", "end_pose"),
        (["--weights", "w.safetensors"], "invalid_options", "weights"),
        (["--seconds", "30"], "invalid_options", "9.8"),
        (["--model-device", "numpy"], "invalid_options", "auto, cpu, cuda"),
        (["--explain"], "arguments_conflict", "--explain"),
        (["--known"], "arguments_conflict", "--known"),
    ],
)
def test_generate_refuses_what_a_published_model_does_not_have(
    settings: Path, tmp_path: Path, refused: Refused, arguments: list[str], code: str, said: str
) -> None:
    assert said in refused(code, "generate", "juggles", "--model", "momask", "--out", str(tmp_path / "x.bvh"), *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_parts_are_missing_is_told_before_anything_starts(
    settings: Path, tmp_path: Path, here: Here, refused: Refused
) -> None:
    models_file.write(settings, {"momask": {"checkout": str(tmp_path / "gone"), "python": sys.executable}})
    refused("published_checkout_missing", "generate", "juggles", "--model", "momask", "--out", str(tmp_path / "x.bvh"))
    assert [path.name for path in tmp_path.iterdir()] == ["settings"]
    done, out, _ = here("models", "check", "--json")
    assert done == 1
    codes = [problem["code"] for problem in events(out, "model")[0]["problems"]]
    assert {"published_checkout_missing", "published_checkpoint_missing"} <= set(codes)


# --- with the checkouts ---------------------------------------------------------------------------------------------------


@WHICH
def test_a_model_that_is_set_and_checked_makes_motions(
    installed: Callable[[Which], Installed], settings: Path, tmp_path: Path, which: Which
) -> None:
    model = installed(which).model()
    flags = {"--checkout": model.checkout, "--python": model.python, "--checkpoints": model.checkpoints}
    flags |= {"--text-encoder": model.text_encoder, "--device": "cpu"}
    done = mq("models", "set", str(which), *(word for pair in flags.items() for word in pair))
    assert done.returncode == 0 and which.licence in done.stdout, done.stdout + done.stderr
    done = mq("models", "check", str(which), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert events(done.stdout, "model")[0]["loaded"]["device"] == "cpu"

    words = ["a person juggles three torches", "--model", str(which), "--seconds", "2", "--seed", "3", "--variations", "2"]
    done = mq("generate", *words, "--fps", "24", "--out", str(tmp_path / "new" / "juggle.bvh"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    made = events(done.stdout, "motion")
    assert [(Path(e["path"]).name, e["seed"], e["licence"]) for e in made] == [
        ("juggle_01.bvh", 3, which.licence), ("juggle_02.bvh", 4, which.licence)
    ]  # fmt: skip
    clips = [read_bvh(Path(event["path"])) for event in made]
    assert all(len(clip) == event["frames"] and round(clip.fps) == 24 for clip, event in zip(clips, made, strict=True))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["juggle_01.bvh", "juggle_02.bvh"]
    assert any("Sampling step" in event["stage"] for event in events(done.stdout, "progress"))


def test_what_fails_in_a_child_is_told_and_leaves_no_file(
    installed: Callable[[Which], Installed], settings: Path, tmp_path: Path, refused: Refused
) -> None:
    put(settings, installed(Which.MOMASK), memory_limit_mb=100.0)
    refused("memory_limit", "generate", "juggles", "--model", "momask", "--out", str(tmp_path / "x.bvh"))
    assert [path.name for path in tmp_path.iterdir()] == ["settings"]


def test_an_interrupt_ends_the_children_and_leaves_no_file(
    installed: Callable[[Which], Installed], settings: Path, tmp_path: Path
) -> None:
    put(settings, installed(Which.MOMASK))
    words = ["juggles", "--model", "momask", "--seconds", "9", "--variations", "100", "--out", str(tmp_path / "x.bvh"), "--json"]
    process = subprocess.Popen(
        [sys.executable, *MODULE, "generate", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Sampling step" in line:
            break
    children = [pid for pid in own_descendants() if pid != process.pid]
    assert children
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in errors, errors
    wait_gone(children)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".bvh"] == ["settings"]


def test_the_queue_takes_prompts_for_a_published_model_to_a_character(
    installed: Callable[[Which], Installed], settings: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bpy", reason="this environment has no bpy")
    put(settings, installed(Which.MOMASK_PLUS))
    jobs = tmp_path / "jobs.json"
    defaults = {"model": "momask++", "seconds": 2, "steps": ["retarget"]}
    wanted = [{"prompt": "somebody juggles", "heading": 90, "fps": 24}]
    jobs.write_text(json.dumps({"version": 1, "defaults": defaults, "jobs": wanted}), encoding="utf-8")
    done = mq("run", "--jobs", str(jobs), "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "out" / "somebody juggles"
    clip, record = read_bvh(folder / "motion.bvh"), json.loads((folder / "job.json").read_text(encoding="utf-8"))
    assert (len(clip.skeleton), round(clip.fps)) == (24, 24) and (folder / "character.fbx").stat().st_size > 0
    assert record["result"]["generate"]["model"] == "momask++" and "unmatched" not in record["metadata"]
    assert "Sampling step" in done.stdout
