# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing is found before anything runs, and named with what to do; real folders, files and interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from motion_queue.backends.children import ChildPool
from motion_queue.backends.published import check
from motion_queue.backends.published.backend import PublishedBackend
from motion_queue.backends.published.check import problems, require
from motion_queue.backends.published.model import PublishedModel, Which
from motion_queue.queue.errors import MotionQueueError

MARKS = {which: marks for which, (marks, _) in check._MARKS.items()}


def model(which: Which, root: Path, python: str = sys.executable) -> PublishedModel:
    return PublishedModel.from_options(
        {
            "which": str(which),
            "checkout": str(root / "checkout"),
            "python": python,
            "text_encoder": str(root / "encoder"),
        }
    )


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def codes(found: tuple[MotionQueueError, ...]) -> list[str]:
    return [problem.code for problem in found]


@pytest.mark.parametrize("which", list(Which))
def test_each_missing_part_has_a_code_until_all_are_there(which: Which, tmp_path: Path) -> None:
    installed = model(which, tmp_path)
    rest = ["published_checkpoint_missing", "published_text_encoder_missing"]
    assert codes(problems(installed, start_python=False)) == ["published_checkout_missing", *rest]
    (tmp_path / "checkout").mkdir()
    assert codes(problems(installed, start_python=False)) == ["published_checkout_foreign", *rest]
    put(tmp_path / "checkout", *MARKS[which])
    assert codes(problems(installed, start_python=False)) == rest
    asked: set[str] = set()
    while "published_checkpoint_missing" in codes(found := problems(installed, start_python=False)):
        path = found[0].details["checkpoints"]
        assert path not in asked and path in found[0].message
        asked.add(path)
        put(Path(path).parent, Path(path).name)
    assert len(asked) >= 8
    assert codes(problems(installed, start_python=False)) == rest[1:]
    put(
        tmp_path / "encoder",
        *(["ViT-B-32.pt"] if which is Which.MOMASK else ["config.json", "spiece.model", "pytorch_model.bin"]),
    )
    assert problems(installed, start_python=False) == ()
    require(installed)


def test_the_decoder_is_the_one_that_the_transformer_s_options_name(tmp_path: Path) -> None:
    installed = model(Which.MOMASK, tmp_path)
    folder = installed.checkpoints_path / "t2m"
    (folder / installed.transformer_name).mkdir(parents=True)
    (folder / installed.transformer_name / "opt.txt").write_text("ff_size: 1024\nvq_name: my_decoder\n")
    asked = {str(path) for path in check._files(installed, folder)}
    assert str(folder / "my_decoder" / "model" / "net_best_fid.tar") in asked


def test_options_that_name_a_folder_elsewhere_are_not_followed(tmp_path: Path) -> None:
    installed = model(Which.MOMASK, tmp_path)
    folder = installed.checkpoints_path / "t2m"
    (folder / installed.transformer_name).mkdir(parents=True)
    (folder / installed.transformer_name / "opt.txt").write_text("vq_name: ..\n")
    assert all(".." not in path.parts for path in check._files(installed, folder))


def test_a_python_that_is_not_there_is_told_from_one_that_is_no_python(tmp_path: Path) -> None:
    absent = problems(model(Which.MOMASK, tmp_path, python=str(tmp_path / "nowhere" / "python")))
    assert codes(absent)[0] == "published_python_missing" and "nowhere" in absent[0].message
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho this is no Python >&2\nexit 3\n")
    script.chmod(0o755)
    other = problems(model(Which.MOMASK, tmp_path, python=str(script)))
    assert codes(other)[0] == "published_python_missing" and "this is no Python" in other[0].message


def test_modules_that_a_python_lacks_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-E", str(check.MAIN), "--probe", "json", "no_such_module"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["missing"] == ["no_such_module"]
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    found = problems(model(Which.MOMASK, tmp_path, python=str(bare / "bin" / "python")))[0]
    assert found.code == "published_modules_missing" and "torch" in found.message and str(bare) in found.message


def test_health_says_everything_at_once(tmp_path: Path, pool: ChildPool) -> None:
    health = PublishedBackend(pool, [model(Which.MOMASK_PLUS, tmp_path, python="no-such-python")]).health()
    assert not health.ok
    for word in ("no-such-python", "SnapMoGen", "checkpoint_dir", "T5"):
        assert word in health.message


def test_the_files_for_the_user_s_python_can_be_read_by_an_old_one() -> None:
    import ast  # noqa: PLC0415

    here = check.MAIN.parent
    root = here.parents[1]
    files = [here / f"{n}.py" for n in ("__init__", "own_main", "own_torch", "momask", "momask_plus")]
    files += [root / n for n in ("__init__.py", "backends/__init__.py", "motion/__init__.py")]
    files += [root / "motion" / f"{n}.py" for n in ("features", "quat", "errors")]
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
        assert imported <= {None, "errors", "quat", "motion.features", "own_torch", "operators", "panels"}, path
    assert os.access(check.MAIN, os.R_OK)
