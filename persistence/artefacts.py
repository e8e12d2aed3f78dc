# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefact store as a folder: result files under keys, scratch folders that outlive a crash, one log per job.

A key is a relative path with forward slashes, `jobs/<job>/<step>/<attempt>/motion.bvh`; it is checked before it is ever joined to
a path. A file under a key is whole and durable or not there. Knows nothing of jobs but that they have an id.

  artefacts/<key>      work/<job>/<step>/      logs/<job>.log
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from pathlib import Path, PurePosixPath

from ..queue.contract import Artefact
from ..queue.errors import StoreError
from .files import CHUNK, FileLayer, OpenFile, OsFiles, store_error, write_all

MEDIA_TYPES = {
    ".bvh": "text/plain",
    ".fbx": "application/octet-stream",
    ".blend": "application/x-blender",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".exr": "image/x-exr",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".npz": "application/zip",
    ".zip": "application/zip",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".log": "text/plain",
    ".wav": "audio/wav",
}
MAX_KEY = 512  # characters
_MAX_PART = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')  # no file name on one of the platforms
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_TEMP = ".part-"


class FolderStore:
    """The contract's `ArtefactStore` in a folder of the local disk. Any thread."""

    def __init__(self, root: Path, files: FileLayer | None = None) -> None:
        self.root = root.absolute()
        self._logs = self.root / "logs"
        self._files = files or OsFiles()

    def put(self, key: str, source: Path, *, name: str = "", media_type: str = "", move: bool = False) -> Artefact:
        """See the contract. Size and SHA-256 are those of the bytes stored.

        `StoreError` key_invalid, missing_file (no source), disk_full, read_only, io_error. After an error there is no half file.
        """
        target = self.path(key)
        temp = target.parent / f"{_TEMP}{uuid.uuid4().hex}"
        renamed = False
        try:
            self._files.make_dir(target.parent)
            renamed = move and self._rename_in(source, temp)
            if renamed:
                size, digest = _hash(temp)
                _sync_path(temp)
            else:
                size, digest = self._copy(source, temp)
            self._files.replace(temp, target)
            self._files.sync_dir(target.parent)
            self._sync_parents(target.parent)
            if move:
                source.unlink(missing_ok=True)
        except OSError as error:
            if renamed and temp.exists():
                temp.replace(source)  # the caller keeps what could not be stored
            temp.unlink(missing_ok=True)
            raise store_error(error, f"storing {source} as {key}") from error
        return Artefact(
            name=name or target.name,
            key=key,
            media_type=media_type or MEDIA_TYPES.get(target.suffix.lower(), "application/octet-stream"),
            size=size,
            sha256=digest,
        )

    def path(self, key: str) -> Path:
        """Where the file of a key is, or would be. `StoreError` key_invalid."""
        base = self.root / "artefacts"
        return base.joinpath(*_checked(key))

    def url(self, key: str) -> str:
        return self.path(key).as_uri()

    def delete(self, prefix: str) -> int:
        """Remove the file of that key, or all files below it (whole path parts: `jobs/a` is not `jobs/ab`)."""
        path = self.path(prefix.rstrip("/"))
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
                return 1
            if not path.is_dir():
                return 0
            count = sum(len(names) for _, _, names in os.walk(path))
            shutil.rmtree(path)
        except OSError as error:
            raise store_error(error, f"deleting {prefix}") from error
        return count

    def work_dir(self, job_id: str, step: str) -> Path:
        path = self.root / "work" / _part(job_id) / _part(step)
        try:
            self._files.make_dir(path)
        except OSError as error:
            raise store_error(error, f"making the scratch folder {path}") from error
        return path

    def clear_work(self, job_id: str, step: str = "") -> None:
        """Remove the scratch folder of a step, or of all steps. Fine when there is none."""
        path = self.root / "work" / _part(job_id)
        if step:
            path = path / _part(step)
        try:
            if path.is_dir():
                shutil.rmtree(path)
        except OSError as error:
            raise store_error(error, f"clearing {path}") from error

    def log_path(self, job_id: str) -> Path:
        """See the contract. Asked for ten times a second by whoever shows a job: the disk is not touched."""
        return self._logs / f"{_part(job_id)}.log"

    def _rename_in(self, source: Path, temp: Path) -> bool:
        """Move by renaming; False where source and store are on different file systems."""
        try:
            self._files.replace(source, temp)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise
        return True

    def _copy(self, source: Path, temp: Path) -> tuple[int, str]:
        digest = hashlib.sha256()
        size = 0
        with source.open("rb", buffering=0) as reading:
            file: OpenFile = self._files.create(temp)
            try:
                while data := reading.read(CHUNK):
                    digest.update(data)
                    size += len(data)
                    write_all(file, data)
                file.sync()
            finally:
                file.close()
        return size, digest.hexdigest()

    def _sync_parents(self, folder: Path) -> None:
        """New folders on the way from the root are names too, and only durable once their parent is synced."""
        while folder != self.root:
            folder = folder.parent
            self._files.sync_dir(folder)


def _hash(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


def _sync_path(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))  # Windows flushes only what is open for writing
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _checked(key: str) -> tuple[str, ...]:
    """The parts of a key that stays inside the store on every platform."""
    if not key or len(key) > MAX_KEY or key.startswith("/") or key.endswith("/"):
        raise _invalid(key)
    return tuple(_part(part, key) for part in key.split("/"))


def _part(part: str, key: str = "") -> str:
    if (
        part in ("", ".", "..")
        or len(part) > _MAX_PART
        or _FORBIDDEN.search(part)
        or _RESERVED.fullmatch(part)
        or part != part.strip()
        or part.endswith(".")
        or part.startswith(_TEMP)
        or PurePosixPath(part).name != part
    ):
        raise _invalid(key or part)
    try:
        part.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _invalid(key or part) from error
    return part


def _invalid(key: str) -> StoreError:
    return StoreError(
        "key_invalid",
        f"{key[:100]!r} cannot name a file in the store: use relative names with forward slashes, without '..', control "
        "characters or names that a platform reserves.",
    )


__all__ = ["MEDIA_TYPES", "FolderStore"]
