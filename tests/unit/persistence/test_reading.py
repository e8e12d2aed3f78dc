# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read back: everything when nothing is damaged, all but the damaged lines when something is, and always something."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from fault.faulty import FaultyFiles
from fault.records import history, plain_fold, submitted

from motion_queue.persistence import lines
from motion_queue.persistence.compaction import compact
from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.reader import PREVIOUS, SNAPSHOT, load, read_state, segment_name
from motion_queue.queue.contract import Record
from motion_queue.queue.errors import StoreError

FOLDER = Path("/state")


def _segment(number: int, records: list[Record], after: int, *, closed: bool = False) -> bytes:
    header = lines.encode_line({"format": 1, "kind": "segment", "number": number, "after": after})
    footer = lines.encode_line({"kind": "closed", "at": 1.0, "seq": records[-1].seq}) if closed else b""
    return header + b"".join(map(lines.encode_record, records)) + footer


def _folder(jobs: int = 20) -> tuple[FaultyFiles, list[Record]]:
    """Two snapshots and four segments: 1 and 2 in both, 3 in the current one only, 4 live."""
    files = FaultyFiles()
    records = list(history(jobs))
    quarter = len(records) // 4
    parts = [records[:quarter], records[quarter : 2 * quarter], records[2 * quarter : 3 * quarter], records[3 * quarter :]]
    after = 0
    for number, part in enumerate(parts, 1):
        files.put(FOLDER / segment_name(number), _segment(number, part, after))
        after = part[-1].seq
        if number in (2, 3):
            compact(files, FOLDER, number)
    return files, records


def _copy(files: FaultyFiles, **changed: bytes) -> FaultyFiles:
    copy = FaultyFiles()
    for name in files.names(FOLDER):
        copy.put(FOLDER / name, changed.get(name, files.get(FOLDER / name)))
    return copy


def _open_and_close(files: FaultyFiles) -> tuple[Any, ...]:
    journal = FileJournal(FOLDER, files=files)
    recovered = journal.open()
    journal.append([submitted(recovered.last_seq + 1, "later")])
    assert journal.wait(recovered.last_seq + 1, 10)
    journal.close()
    return recovered


def test_a_whole_folder_reads_as_the_plain_fold_of_its_records() -> None:
    files, records = _folder()
    recovered = load(FOLDER, files).recovered
    assert (recovered.jobs, recovered.meta) == plain_fold(records)
    assert list(recovered.jobs) == list(plain_fold(records)[0])
    assert recovered.notes == ()
    assert recovered.last_seq == records[-1].seq


def test_an_empty_folder_opens_clean_and_a_closed_one_too_but_not_one_that_was_left_open(tmp_path: Path) -> None:
    first = FileJournal(tmp_path)
    assert first.open() == ({}, {}, 0, True, ())
    first.append([submitted(1, "a")])
    assert first.wait(1, 10)
    assert not read_state(tmp_path).clean
    first.close()
    assert read_state(tmp_path).clean
    second = FileJournal(tmp_path)
    assert second.open().clean
    assert second.wait(1, 0)
    second.close()
    assert list(read_state(tmp_path).jobs) == ["a"]


def test_the_live_segment_cut_at_every_byte_loses_only_what_was_behind_the_cut() -> None:
    files, records = _folder(16)
    name = segment_name(4)
    whole = files.get(FOLDER / name)
    ends = {}
    end = whole.index(b"\n") + 1
    start = records.index(next(r for r in records if lines.encode_record(r) == whole[end:].split(b"\n")[0] + b"\n"))
    for index in range(start, len(records)):
        end += len(lines.encode_record(records[index]))
        ends[index + 1] = end
    for cut in range(len(whole)):
        kept = max((count for count, at in ends.items() if at - 1 <= cut), default=start)  # the newline itself may be gone
        damaged = _copy(files, **{name: whole[:cut]})
        recovered = load(FOLDER, damaged).recovered
        assert (recovered.jobs, recovered.meta) == plain_fold(records[:kept]), cut
        assert recovered.last_seq == records[kept - 1].seq
        on_a_border = cut == 0 or whole[cut - 1 : cut] == b"\n"
        assert bool(recovered.notes) == (not on_a_border), (cut, recovered.notes)


@pytest.mark.parametrize("cut_name", [SNAPSHOT, segment_name(4)])
def test_what_was_cut_can_be_written_on_and_is_mended(cut_name: str) -> None:
    files, _ = _folder(8)
    whole = files.get(FOLDER / cut_name)
    for cut in range(0, len(whole), 7):
        damaged = _copy(files, **{cut_name: whole[:cut]})
        first = _open_and_close(damaged)
        again = load(FOLDER, damaged).recovered
        assert again.jobs.pop("later") is not None
        assert again.jobs == {k: v for k, v in first[0].items() if k != "later"}, cut
        assert again.notes == (), cut
        assert again.clean


def test_the_snapshot_cut_at_every_byte_loses_nothing_because_the_previous_one_and_its_segments_stand_in() -> None:
    files, records = _folder(16)
    whole = files.get(FOLDER / SNAPSHOT)
    for cut in range(len(whole) - 1):  # without its very last newline it is complete
        recovered = load(FOLDER, _copy(files, **{SNAPSHOT: whole[:cut]})).recovered
        assert (recovered.jobs, recovered.meta) == plain_fold(records), cut
        assert "nothing was lost" in recovered.notes[0]


def test_a_cut_snapshot_without_a_previous_one_still_gives_its_whole_lines() -> None:
    files, records = _folder(16)
    whole = files.get(FOLDER / SNAPSHOT)
    only = FaultyFiles()
    jobs = plain_fold(records)[0]
    for cut in range(len(whole) - 1):
        only.put(FOLDER / SNAPSHOT, whole[:cut])
        recovered = load(FOLDER, only).recovered
        assert len(recovered.jobs) >= whole[:cut].count(b"\n") - 3
        assert set(recovered.jobs) <= set(jobs) | {f"job-1-{index}" for index in range(16)}
        assert recovered.notes


@pytest.mark.parametrize("name", [segment_name(4), SNAPSHOT, PREVIOUS, segment_name(3)])
def test_every_flipped_byte_costs_at_most_the_record_it_hits_and_is_told(name: str) -> None:
    files, records = _folder(8)
    whole = files.get(FOLDER / name)
    chance = random.Random(1)
    full = plain_fold(records)
    in_live = name == segment_name(4)
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << chance.randrange(8)
        recovered = load(FOLDER, _copy(files, **{name: bytes(flipped)})).recovered
        if not in_live:
            assert (recovered.jobs, recovered.meta) == full, at  # one damaged file among these is never a loss
            continue
        line = whole.count(b"\n", 0, at)  # 0 is the header
        start = len(records) - (whole.count(b"\n") - 1)
        without = [r for index, r in enumerate(records) if index != start + line - 1]
        assert (recovered.jobs, recovered.meta) in (full, plain_fold(without)), at
        if (recovered.jobs, recovered.meta) != full:
            assert recovered.notes, at


def test_random_damage_everywhere_is_survived_and_told() -> None:
    chance = random.Random(7)
    for _ in range(150):
        files, records = _folder(12)
        for name in files.names(FOLDER):
            data = bytearray(files.get(FOLDER / name))
            for _ in range(chance.choice([0, 1, 3])):
                start = chance.randrange(len(data))
                data[start : start + chance.choice([1, 1, 50])] = chance.randbytes(chance.choice([0, 1, 40]))
            files.put(FOLDER / name, bytes(data))
        journal = FileJournal(FOLDER, files=files)
        recovered = journal.open()
        assert set(recovered.jobs) <= {record.job for record in records}
        if (recovered.jobs, recovered.meta) != plain_fold(records):
            assert recovered.notes
        last = recovered.last_seq
        journal.append([submitted(last + 1, "later")])
        assert journal.wait(last + 1, 10)
        journal.close()
        again = load(FOLDER, files).recovered
        assert set(recovered.jobs) - {"later"} == set(again.jobs) - {"later"}
        assert again.notes == ()
        assert again.last_seq == last + 1


def test_a_damaged_middle_is_kept_aside_and_told_only_once() -> None:
    files, records = _folder(8)
    name = segment_name(4)
    data = files.get(FOLDER / name)
    at = len(data) // 2
    files.put(FOLDER / name, data[:at] + b"\xff" + data[at + 1 :])
    damaged = files.get(FOLDER / name)
    recovered = _open_and_close(files)
    assert any(name in note and "damaged" in note for note in recovered[4])
    assert any("missing" in note for note in recovered[4])  # the gap in the numbers
    kept = files.names(FOLDER / "damaged")
    assert len(kept) == 1
    assert files.get(FOLDER / "damaged" / kept[0]) == damaged
    assert load(FOLDER, files).recovered.notes == ()
    assert len(records) > 10


@pytest.mark.parametrize("name", [SNAPSHOT, PREVIOUS, segment_name(4), segment_name(2)])
def test_a_newer_format_is_refused_and_left_untouched(name: str) -> None:
    files, _ = _folder(6)
    newer = lines.encode_line({"format": lines.FORMAT + 1, "kind": "of a later time", "secret": [1]}) + b"whatever comes later\n"
    files.put(FOLDER / name, newer)
    before = {name: files.get(FOLDER / name) for name in files.names(FOLDER)}
    with pytest.raises(StoreError) as caught:
        FileJournal(FOLDER, files=files).open()
    assert caught.value.code == "newer_version"
    assert name in caught.value.message
    assert {name: files.get(FOLDER / name) for name in files.names(FOLDER)} == before


def test_an_older_format_is_migrated_and_written_in_todays() -> None:
    files = FaultyFiles()
    old = [
        {"format": 0, "kind": "segment", "number": 1, "after": 0},
        {"seq": 1, "ms": 1000, "name": "job_submitted", "job": "a", "fields": {"steps": [{"state": "pending"}]}},
        {
            "seq": 2,
            "ms": 2000,
            "name": "step_started",
            "job": "a",
            "fields": {"state": "running"},
            "steps": [[0, {"state": "running"}]],
        },
        {"seq": 3, "ms": 3000, "name": "x", "job": "a", "fields": {}, "steps": "nonsense"},
        {"seq": 4, "ms": "nonsense", "name": "x", "job": "a", "fields": {}},
    ]
    files.put(FOLDER / segment_name(1), b"".join(map(lines.encode_line, old)))
    recovered = _open_and_close(files)
    assert recovered[0] == {"a": {"steps": [{"state": "running"}], "state": "running", "revision": 3}}
    assert lines.header_format(files.get(FOLDER / SNAPSHOT).split(b"\n")[0]) == lines.FORMAT
    again = load(FOLDER, files).recovered
    assert again.jobs["a"] == recovered[0]["a"]
    assert again.notes == ()


def test_missing_segments_and_numbers_are_told() -> None:
    files, records = _folder(12)
    files.remove(FOLDER / SNAPSHOT)
    files.remove(FOLDER / segment_name(3))
    recovered = load(FOLDER, files).recovered
    assert any(segment_name(3) in note for note in recovered.notes)
    assert any("Records" in note for note in recovered.notes)
    assert recovered.last_seq == records[-1].seq


def test_between_the_two_renames_of_a_new_snapshot_nothing_is_missing() -> None:
    files, records = _folder(12)
    files.remove(FOLDER / SNAPSHOT)
    recovered = load(FOLDER, files).recovered
    assert (recovered.jobs, recovered.meta) == plain_fold(records)
    assert recovered.notes == ()


def test_records_of_the_wrong_shape_size_or_depth_are_dropped_and_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 5000)
    monkeypatch.setattr("motion_queue.persistence.reader.MAX_LINE", 5000)
    deep: object = 1
    for _ in range(lines.MAX_DEPTH + 1):
        deep = [deep]
    bad: list[dict[str, Any]] = [
        {"seq": "1", "at": 1, "name": "x", "job": "a", "fields": {}},
        {"seq": 9, "at": 1, "name": "x", "job": 4, "fields": {}},
        {"seq": 9, "at": 1, "name": "x", "job": "a", "fields": [1]},
        {"seq": 9, "at": 1, "name": "job_submitted", "job": "b", "fields": {"steps": "no list"}},
        {"no": "record"},
        {"seq": 10, "at": 1, "name": "x", "job": "a", "fields": {"big": "x" * 6000}},
        {"seq": 11, "at": 1, "name": "x", "job": "a", "fields": {"deep": deep}},
        {
            "seq": 12,
            "at": 1,
            "name": "x",
            "job": "a",
            "fields": {"ok": 1},
            "steps": {"99": {}, "-1": {}, "0": 5, "1": {"state": "z"}},
        },
    ]
    data = _segment(1, [submitted(1, "a")], 0)
    data += b"".join(lines.encode_line(value, 1 << 20, 1000) for value in bad)
    hundred_thousand = b"[" * 100_000
    data += b'{"crc":"%08x",%b\n' % (crc32(hundred_thousand), hundred_thousand)
    files = FaultyFiles()
    files.put(FOLDER / segment_name(1), data + lines.encode_record(submitted(13, "c")))
    recovered = load(FOLDER, files).recovered
    assert list(recovered.jobs) == ["a", "c"]
    assert recovered.jobs["a"]["ok"] == 1
    assert "deep" not in recovered.jobs["a"] and "big" not in recovered.jobs["a"]
    assert recovered.jobs["a"]["steps"][1]["state"] == "z"
    assert any("shape" in note for note in recovered.notes)
    assert any("damaged lines" in note for note in recovered.notes)


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motion_queue.persistence.reader.MAX_LINE", 1 << 20)
    files = FaultyFiles()
    endless = b"x" * (5 << 20)
    files.put(
        FOLDER / segment_name(1), _segment(1, [submitted(1, "a")], 0) + endless + b"\n" + lines.encode_record(submitted(2, "b"))
    )
    recovered = load(FOLDER, files).recovered
    assert list(recovered.jobs) == ["a", "b"]
    assert recovered.notes


def test_nothing_to_read_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        read_state(tmp_path / "nowhere")
    assert caught.value.code == "missing_file"


def test_after_interrupted_renames_the_owner_writes_a_new_snapshot_and_later_ones_work() -> None:
    files, _ = _folder(12)
    files.remove(FOLDER / SNAPSHOT)
    first = _open_and_close(files)
    assert all("mended" not in note for note in first[4])
    journal = FileJournal(FOLDER, files=files)
    journal.open()
    assert journal.compact(10)
    journal.close()
    again = load(FOLDER, files).recovered
    assert again.notes == ()
    assert set(again.jobs) == {*first[0], "later"}


def test_jobs_of_a_batch_share_what_they_have_in_common_until_one_is_changed() -> None:
    files = FaultyFiles()
    steps = [{"name": "s", "state": "pending"}]
    nested = {"shared": {"steps": 1}, "fields": {}, "text": ',"shared":{"workflow":"x"}}'}
    records = [
        Record(i, 1.0, "job_submitted", f"j{i}", {"workflow": "w", "steps": steps, "payload": nested, "position": float(i)})
        for i in (1, 2, 3)
    ]
    records.append(Record(4, 1.0, "step_started", "j3", {"state": "running"}, {"0": {"state": "running"}}))
    encoded = lines.encode_records(records)
    assert encoded == [lines.encode_record(record) for record in records]
    files.put(FOLDER / segment_name(1), _segment(1, records[:1], 0)[: -len(encoded[0])] + b"".join(encoded))
    recovered = load(FOLDER, files).recovered
    assert recovered.jobs == plain_fold(records)[0]
    assert recovered.jobs["j1"]["steps"] is recovered.jobs["j2"]["steps"]
    assert recovered.jobs["j1"]["steps"] == steps
    assert recovered.notes == ()


def test_records_that_share_what_they_change_are_written_as_if_they_did_not() -> None:
    fields, steps = {"state": "running", "number": 1}, {"0": {"state": "running"}}
    records = [
        Record(1, 1.5, "job_submitted", "a", fields),
        Record(2, 1.5, "step_started", "a", fields, steps),
        Record(3, 1.5, "step_started", 'b"\u00e9', fields, steps),
        Record(4, 2.0, "job_resumed", "a", fields),
        Record(5, 2.0, "queue_paused", "", fields),
        Record(6, 2.0, "step_started", "a", {"state": "running", "number": True}, steps),
    ]
    assert lines.encode_records(records) == [lines.encode_record(record) for record in records]
