# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is written, and wherever it is rotated, folded and reopened: what is read is the plain fold of the records."""

from __future__ import annotations

from pathlib import Path

from fault.faulty import FaultyFiles
from fault.records import plain_fold
from hypothesis import given, settings
from hypothesis import strategies as st

from motion_queue.persistence.compaction import compact
from motion_queue.persistence.journal import FileJournal
from motion_queue.persistence.lines import encode_line, encode_record
from motion_queue.persistence.reader import load, segment_name
from motion_queue.queue.contract import Record

FOLDER = Path("/state")
_JOBS = st.sampled_from(["a", "b", "c", "d", "e"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.dictionaries(st.text(max_size=5).filter(lambda key: key != "steps"), _VALUES, max_size=3)
_STEPS = st.dictionaries(st.sampled_from(["0", "1"]), _FIELDS, max_size=2)
_SUBMIT = st.tuples(st.just("job_submitted"), _JOBS, _FIELDS, st.none())
_CHANGE = st.tuples(st.sampled_from(["step_started", "job_completed"]), _JOBS, _FIELDS, st.none() | _STEPS)
_REMOVE = st.tuples(st.just("jobs_removed"), st.just(""), st.fixed_dictionaries({"ids": st.lists(_JOBS, max_size=3)}), st.none())
_QUEUE = st.tuples(st.just("queue_changed"), st.just(""), _FIELDS, st.none())
_COMPACT, _REOPEN = "compact", "reopen"
_ACTION = st.one_of(_SUBMIT, _SUBMIT, _CHANGE, _CHANGE, _REMOVE, _QUEUE, st.just(_COMPACT), st.just(_REOPEN))


def _record(seq: int, action: tuple[str, str, dict[str, object], dict[str, dict[str, object]] | None]) -> Record:
    name, job, fields, steps = action
    if name == "job_submitted":
        fields = {**fields, "steps": [{"state": "pending"}, {}]}
    return Record(seq, 1.0, name, job, fields, steps)


@settings(max_examples=300, deadline=None)
@given(st.lists(_ACTION, max_size=60))
def test_folding_segments_into_snapshots_equals_the_plain_fold(actions: list[object]) -> None:
    files = FaultyFiles()
    records: list[Record] = []
    number, data, after = 1, b"", 0

    def end_segment() -> None:
        header = encode_line({"format": 1, "kind": "segment", "number": number, "after": after})
        files.put(FOLDER / segment_name(number), header + data)

    for action in actions:
        if isinstance(action, tuple):
            records.append(_record(len(records) + 1, action))
            data += encode_record(records[-1])
            continue
        end_segment()
        if action == _COMPACT:
            compact(files, FOLDER, number)
        number, data, after = number + 1, b"", len(records)
    end_segment()
    recovered = load(FOLDER, files).recovered
    jobs, meta = plain_fold(records)
    assert recovered.jobs == jobs
    assert list(recovered.jobs) == list(jobs)
    assert recovered.meta == meta
    assert recovered.last_seq == len(records)


@settings(max_examples=40, deadline=None)
@given(st.lists(_ACTION, max_size=60), st.integers(300, 3000))
def test_a_running_journal_that_rotates_and_folds_by_itself_equals_the_plain_fold(actions: list[object], size: int) -> None:
    files = FaultyFiles()
    records: list[Record] = []
    journal = FileJournal(FOLDER, files=files, snapshot_after_bytes=size, settle_seconds=0.0, group_ms=0)
    journal.open()
    for action in actions:
        if isinstance(action, tuple):
            records.append(_record(len(records) + 1, action))
            journal.append([records[-1]])
            if len(records) % 4 == 0:
                assert journal.wait(len(records), 10)
        elif action == _COMPACT:
            assert journal.compact(10)
        else:
            journal.close()
            journal = FileJournal(FOLDER, files=files, snapshot_after_bytes=size, settle_seconds=0.0, group_ms=0)
            assert journal.open().clean
    journal.close()
    recovered = load(FOLDER, files).recovered
    assert (recovered.jobs, recovered.meta) == plain_fold(records)
    assert list(recovered.jobs) == list(plain_fold(records)[0])
