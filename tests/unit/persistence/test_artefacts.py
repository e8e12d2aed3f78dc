# SPDX-License-Identifier: GPL-3.0-or-later
"""Result files: whole or not there, where they belong and nowhere else."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from fault.faulty import Fault, FaultyFiles
from fault.mounts import Mount

from motion_queue.persistence.artefacts import FolderStore
from motion_queue.persistence.files import OsFiles
from motion_queue.persistence.logs import JobLog
from motion_queue.queue.contract import ArtefactStore
from motion_queue.queue.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def _source(tmp_path: Path, data: bytes = b"HIERARCHY\n" * 300_000) -> Path:
    path = tmp_path / "made.bvh"
    path.write_bytes(data)
    return path


def _all_files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("move", [False, True])
def test_what_is_put_is_there_whole_with_its_size_and_hash(tmp_path: Path, store: FolderStore, move: bool) -> None:
    kept: ArtefactStore = store
    source = _source(tmp_path)
    data = source.read_bytes()
    artefact = kept.put("jobs/a b/render/1/video \u00e9.mp4", source, move=move)
    path = kept.path(artefact.key)
    assert path.read_bytes() == data
    assert source.exists() is not move
    assert (artefact.name, artefact.media_type) == ("video \u00e9.mp4", "video/mp4")
    assert (artefact.size, artefact.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert unquote(urlparse(kept.url(artefact.key)).path) == str(path)
    assert len(_all_files(store.root)) == 1


def test_moving_between_file_systems_copies(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    source = other / f"motion-queue-test-{tmp_path.name}"
    source.write_bytes(b"abc")
    try:
        store = FolderStore(tmp_path)
        assert store.path(store.put("a/b", source, move=True).key).read_bytes() == b"abc"
        assert not source.exists()
    finally:
        source.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "a/./b", "a\\b", "a\0b", "a\nb", "C:/x", "a/con", "NUL.txt",
     "a/x.", "a/ x", "a" * 600, "a/" + "b" * 201, "x\udcff", "a/.part-x", "a?b"],
)  # fmt: skip
def test_a_key_that_leads_outside_or_is_no_name_somewhere_is_refused(tmp_path: Path, store: FolderStore, key: str) -> None:
    source = _source(tmp_path, b"x")
    for action in (lambda: store.put(key, source), lambda: store.path(key), lambda: store.url(key)):
        with pytest.raises(StoreError, match="key_invalid"):
            action()
    if "/" not in key.rstrip("/"):
        for action in (lambda: store.work_dir(key, "s"), lambda: store.log_path(key)):
            if key != "a/":
                with pytest.raises(StoreError, match="key_invalid"):
                    action()
    assert not _all_files(store.root)


def test_deleting_a_prefix_takes_whole_parts_and_says_how_many(tmp_path: Path, store: FolderStore) -> None:
    source = _source(tmp_path, b"x")
    for key in ("jobs/a/1/x", "jobs/a/2/x", "jobs/a/2/y", "jobs/ab/1/x"):
        store.put(key, source)
    assert store.delete("jobs/a/1/x") == 1
    assert store.delete("jobs/a") == 2
    assert store.delete("jobs/a") == 0
    assert store.path("jobs/ab/1/x").exists()
    with pytest.raises(StoreError, match="key_invalid"):
        store.delete("")


def test_putting_again_replaces(tmp_path: Path, store: FolderStore) -> None:
    store.put("a/b", _source(tmp_path, b"one"))
    store.put("a/b", _source(tmp_path, b"two"))
    assert store.path("a/b").read_bytes() == b"two"


def test_a_missing_source_is_told(tmp_path: Path, store: FolderStore) -> None:
    for move in (False, True):
        with pytest.raises(StoreError, match="missing_file"):
            store.put("a/b", tmp_path / "nothing", move=move)
    assert not _all_files(store.root)


def test_a_full_real_disk_leaves_no_half_file_and_the_source_untouched(mount: Mount, tmp_path: Path) -> None:
    disk = mount(tmp_path / "disk", megabytes=0.25)
    store = FolderStore(disk)
    small, large = _source(tmp_path, b"small"), tmp_path / "large"
    large.write_bytes(b"x" * 1_000_000)
    store.put("jobs/a/small", small)
    for move in (False, True):
        with pytest.raises(StoreError) as caught:
            store.put("jobs/a/large", large, move=move)
        assert caught.value.code == "disk_full"
        assert large.stat().st_size == 1_000_000
    assert _all_files(disk) == [store.path("jobs/a/small")]
    store.put("jobs/a/next", small)


class _FailingFiles(OsFiles):
    """The real files, with the last rename refused."""

    def __init__(self, last: str) -> None:
        self._last = last

    def replace(self, source: Path, target: Path) -> None:
        if target.name == self._last:
            raise OSError(errno.EIO, "Input/output error")
        super().replace(source, target)


def test_a_move_that_fails_at_the_end_gives_the_source_back(tmp_path: Path) -> None:
    source = _source(tmp_path, b"precious")
    store = FolderStore(tmp_path / "store", _FailingFiles("result.bvh"))
    with pytest.raises(StoreError, match="io_error"):
        store.put("jobs/a/result.bvh", source, move=True)
    assert source.read_bytes() == b"precious"
    assert not _all_files(store.root)


def test_what_was_put_survives_a_power_cut_under_its_name(tmp_path: Path) -> None:
    source = _source(tmp_path, b"x" * 5000)
    for seed in range(20):
        files = FaultyFiles(seed=seed, short_writes=True)
        store = FolderStore(Path("/store"), files)
        store.put("jobs/a/b", source)
        assert files.power_cut().get(store.path("jobs/a/b")) == b"x" * 5000
    for operation in ("create", "write", "sync", "replace", "sync_dir"):
        files = FaultyFiles(faults=[Fault(operation, errno.ENOSPC)])
        with pytest.raises(StoreError, match="disk_full"):
            FolderStore(Path("/store"), files).put("jobs/a/b", source)


def test_scratch_folders_stay_until_they_are_cleared(store: FolderStore) -> None:
    frames = store.work_dir("job", "render")
    (frames / "0001.png").write_bytes(b"x")
    assert store.work_dir("job", "render") == frames
    store.work_dir("job", "retarget")
    store.clear_work("job", "render")
    assert not frames.exists()
    assert store.work_dir("job", "render").is_dir()
    store.clear_work("job")
    assert not frames.parent.exists()
    store.clear_work("job")


def test_asking_for_the_path_of_a_log_leaves_the_disk_alone(store: FolderStore) -> None:
    path = store.log_path("job")
    assert not path.parent.exists()
    JobLog(path).write("info", "began")
    assert "began" in path.read_text(encoding="utf-8")
