# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands from other processes: each arrives once it is whole, is answered, and survives the death of its reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from motion_queue.persistence.inbox import MAX_BYTES, Ack, Command, Inbox, send
from motion_queue.queue.errors import StoreError

_SENDER = """
import sys
from pathlib import Path
from motion_queue.persistence.inbox import send
ack = send(Path(sys.argv[1]), "cancel", {"job": sys.argv[2]}, timeout=30)
print(ack.ok, ack.result, ack.code)
"""


def _put(folder: Path, value: object, name: str = "") -> str:
    number = uuid.uuid4().hex
    if isinstance(value, dict):
        value = {"format": 1, "id": number, "command": "cancel", "arguments": {}, "at": 1.0} | value
    path = folder / "inbox" / (name or f"{time.time_ns():020}-{number}.json")
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return number


def _pending(folder: Path, command: str = "cancel", **arguments: object) -> None:
    with pytest.raises(StoreError, match="command_pending"):
        send(folder, command, arguments, timeout=0)


def test_other_processes_commands_are_done_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    senders = {
        job: subprocess.Popen([sys.executable, "-P", "-c", _SENDER, str(tmp_path), job], stdout=subprocess.PIPE, text=True)
        for job in ("a", "b", "c")
    }
    done = 0
    deadline = time.monotonic() + 30
    while done < 3 and time.monotonic() < deadline:
        for command in inbox.drain():
            job = command.arguments["job"]
            inbox.acknowledge(Ack(id=command.id, ok=job != "b", result={"job": job}, code="" if job != "b" else "unknown_job"))
            done += 1
        time.sleep(0.01)
    for job, sender in senders.items():
        answer = sender.communicate(timeout=30)[0].strip()
        assert answer == f"{job != 'b'} {{'job': '{job}'}} {'unknown_job' if job == 'b' else ''}".strip()
    assert inbox.drain() == []


def test_commands_come_in_order_once_and_again_to_a_new_owner_until_they_are_answered(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for number in range(5):
        _pending(tmp_path, "reorder", n=number)
    commands = inbox.drain()
    assert [command.arguments["n"] for command in commands] == list(range(5))
    assert inbox.drain() == []
    inbox.acknowledge(Ack(id=commands[0].id, ok=True))
    after_crash = Inbox(tmp_path).drain()
    assert [command.id for command in after_crash] == [command.id for command in commands[1:]]


def test_a_command_answered_just_before_a_crash_is_not_done_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    _pending(tmp_path)
    [command] = inbox.drain()
    name = next(path.name for path in (tmp_path / "inbox").iterdir() if path.is_file())
    data = (tmp_path / "inbox" / name).read_bytes()
    inbox.acknowledge(Ack(id=command.id, ok=True))
    (tmp_path / "inbox" / name).write_bytes(data)
    assert Inbox(tmp_path).drain() == []
    assert not (tmp_path / "inbox" / name).exists()


@pytest.mark.parametrize(
    "bad",
    [
        "no json",
        "[]",
        "",
        '{"command": NaN}',
        "[" * 100_000,
        {"command": "Bad Name"},
        {"command": 5},
        {"arguments": []},
        {"at": "now"},
        {"at": True},
        {"format": 2},
        {"id": "0" * 32},
        {"arguments": {"big": "x" * MAX_BYTES}},
        {"arguments": {"deep": json.loads("[" * 40 + "]" * 40)}},
    ],
)
def test_a_bad_command_is_put_aside_with_the_reason_answered_and_the_others_go_on(tmp_path: Path, bad: object) -> None:
    inbox = Inbox(tmp_path)
    number = _put(tmp_path, bad)
    _put(tmp_path, {"command": "good"})
    assert [command.command for command in inbox.drain()] == ["good"]
    rejected = sorted(path.name for path in (tmp_path / "inbox" / "rejected").iterdir())
    assert len(rejected) == 2
    assert (tmp_path / "inbox" / "rejected" / rejected[1]).read_text().strip()
    answer = json.loads((tmp_path / "inbox" / "done" / f"{number}.json").read_text())
    assert (answer["ok"], answer["code"]) == (False, "command_invalid")


def test_a_foreign_name_is_put_aside_and_half_written_files_and_links_are_not_looked_at(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    _put(tmp_path, {}, name="other.json")
    _put(tmp_path, "half", name="x.json.tmp")
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "inbox" / f"{1:020}-{'0' * 32}.json").symlink_to(tmp_path / "secret")
    assert inbox.drain() == []
    assert (tmp_path / "inbox" / "rejected" / "other.json").exists()
    assert (tmp_path / "inbox" / "x.json.tmp").exists()
    assert (tmp_path / "secret").exists()


def test_what_cannot_be_sent_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        ("Bad", {}),
        ("good", {"x": object()}),
        ("good", {"x": float("nan")}),
        ("good", {"x": "y" * MAX_BYTES}),
    ]
    for command, arguments in refused:
        with pytest.raises(StoreError, match="command_invalid"):
            send(tmp_path, command, arguments)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="missing_file"):
        send(tmp_path / "nowhere", "cancel")


def test_old_answers_go_and_new_ones_stay(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for number in range(2):
        inbox.acknowledge(Ack(id=f"{number:032x}", ok=True))
    os.utime(tmp_path / "inbox" / "done" / f"{0:032x}.json", (1, 1))
    inbox.drain()
    assert [path.name for path in (tmp_path / "inbox" / "done").iterdir()] == [f"{1:032x}.json"]


def test_the_sender_is_answered_while_it_waits(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    stop = threading.Event()

    def own() -> None:
        while not stop.is_set():
            for command in inbox.drain():
                assert isinstance(command, Command)
                inbox.acknowledge(Ack(id=command.id, ok=True, result=dict(command.arguments)))
            stop.wait(0.01)

    thread = threading.Thread(target=own)
    thread.start()
    try:
        assert send(tmp_path, "status", {"text": "caf\u00e9"}, timeout=30).result == {"text": "caf\u00e9"}
    finally:
        stop.set()
        thread.join(10)
