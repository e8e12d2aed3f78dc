# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's zip: nothing but what belongs in it, the same bytes each time, and all of what the manifest promises."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from motion_queue.scripts import build

ALLOWED = [
    r"(LICENSE|README\.md|CHANGELOG\.md|blender_manifest\.toml)",
    r"(__init__|app|finish)\.py",
    r"(operators|panels|queue|persistence|backends|motion)/([a-z_]+/)*[a-z_0-9]+\.py",
    r"backends/generate/model\.safetensors",
    r"scripts/(__init__|batch|installed|jobs_file|located_json|prompts_file|shots)\.py",
    r"scripts/cli/(__init__|__main__|arguments|display|exit_codes|generate|generate_published)\.py",
    r"scripts/cli/(listing|main|map|map_file|models|request|retarget|run|session|terminal)\.py",
    r"wheels/psutil-[\w.]+-cp3\d-abi3-[\w.]+\.whl",
]


def test_the_zip_holds_only_what_is_allowed_and_is_the_same_each_time(tmp_path: Path) -> None:
    first = build.build(tmp_path / "a", blender=None)
    second = build.build(tmp_path / "b", blender=None)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
    assert [name for name in names if not any(re.fullmatch(pattern, name) for pattern in ALLOWED)] == []
    assert len([name for name in names if name.startswith("wheels/")]) == 5
    assert {"__init__.py", "app.py", "blender_manifest.toml", "queue/engine.py", "scripts/batch.py"} <= set(names)


def test_patterns_exclude_as_blender_reads_them() -> None:
    patterns = ["__pycache__/", "/docs/", "*.pyc", ".*", "/scripts/mq.py"]
    excluded = ["a/__pycache__/", "docs/", "x/y.pyc", ".git/", "a/.hidden", "scripts/mq.py"]
    kept = ["a/docs/", "__pycache__", "scripts/batch.py", "a/scripts/mq.py", "x.py"]
    assert [path for path in excluded if not build._matches(path, patterns)] == []
    assert [path for path in kept if build._matches(path, patterns)] == []


def test_the_manifest_keeps_blenders_limits() -> None:
    manifest = build.read_manifest()
    assert len(manifest["tagline"]) <= 64 and not manifest["tagline"].endswith(".")
    assert manifest["blender_version_min"] == "4.2.0" and manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert all(len(reason) <= 64 and not reason.endswith(".") for reason in manifest["permissions"].values())
