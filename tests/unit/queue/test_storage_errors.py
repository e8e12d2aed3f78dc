# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that refuses: what was not safe fails with the store's code, nothing starts, and it goes on when the disk does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fault.faulty import Fault, FaultyFiles

from motion_queue.persistence.journal import FileJournal
from motion_queue.queue import Engine, JobState, StoreError

from .conftest import Make
from .gates import BOUND, ended, submit, wait_for, with_gate

FOLDER = Path("/state")


def build(make_engine: Make, files: FaultyFiles) -> Engine:
    return make_engine(total=1, journal=FileJournal(FOLDER, files=files, group_ms=0.0))


@pytest.mark.parametrize(
    ("operation", "number", "code"),
    [("write", errno.ENOSPC, "disk_full"), ("sync", errno.EIO, "io_error"), ("write", errno.EROFS, "read_only")],
)
def test_jobs_that_are_not_safe_fail_with_the_stores_code_and_the_queue_goes_on_afterwards(
    make_engine: Make, operation: str, number: int, code: str
) -> None:
    files = FaultyFiles()
    engine = build(make_engine, files)
    gate = with_gate(engine)
    running, safe = submit(engine), submit(engine)
    gate.next()
    wait_for(engine, lambda: engine.last_event >= engine._core.ledger.seq_of_sync)
    fault = Fault(operation, number, times=1_000_000)
    files.faults.append(fault)
    unsafe = submit(engine)
    with pytest.raises(StoreError) as caught:
        engine._ticket([unsafe]).wait_durable(BOUND)
    assert caught.value.code == code
    while "storage" not in engine.held:
        gate.of(running).context.wait_stop(0.001)
    with pytest.raises(StoreError) as refused:
        submit(engine)
    assert refused.value.code == code and refused.value.retryable
    gate.of(running).finish()
    job = engine.get(unsafe)
    assert job.state is JobState.FAILED and job.error is not None and job.error.code == code
    assert engine.get(safe).state is JobState.QUEUED  # it was safe, and waits
    fault.times = 0
    call = gate.next()
    assert call.job_id == safe
    call.finish()
    assert ended(engine, safe).state is JobState.COMPLETED
    assert ended(engine, running).state is JobState.COMPLETED
    assert "storage" not in engine.held
    engine.close()
    again = build(make_engine, files)
    states = {job.id: job.state for job in again.query().jobs}
    assert states == {running: JobState.COMPLETED, safe: JobState.COMPLETED, unsafe: JobState.FAILED}
