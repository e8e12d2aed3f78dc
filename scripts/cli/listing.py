# SPDX-License-Identifier: GPL-3.0-or-later
"""`list` and `cancel`: what can be done to a queue from outside, also while another process works on it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ...queue.contract import JobState
from ...queue.model import Job
from . import arguments, exit_codes
from .display import duration, table
from .exit_codes import InputError
from .session import cancel_jobs, read_jobs, row_of

SHORT_ID = 8


def show(args: Namespace) -> int:
    """Print the jobs of a state folder."""
    state_dir = _state(args)
    wanted = set(args.state_is)
    unknown = wanted - {str(state) for state in JobState}
    if unknown:
        known = ", ".join(str(state) for state in JobState)
        raise InputError("unknown_state", f"There is no state {', '.join(sorted(unknown))}; there are {known}.")
    jobs = [job for job in read_jobs(state_dir) if not wanted or str(job.state) in wanted]
    if args.json:
        for job in jobs:
            print(json.dumps(job.to_json(), ensure_ascii=False))
        return exit_codes.OK
    if not jobs:
        print(f"No jobs in {state_dir}.")
        return exit_codes.OK
    print("\n".join(table([("ID", "STATE", "DONE", "TIME", "LABEL", ""), *(_cells(job) for job in jobs)])))
    return exit_codes.OK


def _cells(job: Job) -> tuple[str, ...]:
    row = row_of(job)
    note = (
        f"{row.error_message} [{row.error_code}]"
        if row.error_code
        else row.degraded or (row.stage if not row.over else row.output_dir)
    )
    if row.note:
        note = f"{note} ({row.note})" if note else row.note
    time = duration(row.seconds) if row.seconds else ""
    return job.id[:SHORT_ID], row.state, f"{int(100 * row.progress)} %", time, row.label, note


def cancel(args: Namespace) -> int:
    """Cancel jobs by id or beginning of an id."""
    state_dir = _state(args)
    if bool(args.ids) == args.all:
        raise InputError("arguments_conflict", "Give job ids (as `mq.py list` shows them), or --all.")
    jobs = read_jobs(state_dir)
    chosen = [job for job in jobs if not job.finished] if args.all else _chosen(jobs, args.ids)
    over = [job for job in chosen if job.finished]
    todo = [job for job in chosen if not job.finished]
    if todo:
        cancel_jobs(state_dir, [job.id for job in todo])
    after = {job.id: job for job in read_jobs(state_dir)}
    for job in chosen:
        state = str(after.get(job.id, job).state)
        if args.json:
            print(json.dumps({"event": "cancel", "id": job.id, "label": job.label, "state": state}))
        else:
            print(f"{job.id[:SHORT_ID]}  {job.label}: {f'is over already ({state})' if job in over else state}")
    if not chosen and not args.json:
        print("Nothing to cancel: every job is finished.")
    return exit_codes.FAILED if over else exit_codes.OK


def _chosen(jobs: Sequence[Job], ids: Sequence[str]) -> list[Job]:
    chosen: dict[str, Job] = {}
    for given in ids:
        found = [job for job in jobs if job.id.startswith(given.lower())]
        if len(found) != 1:
            what = "No job has" if not found else f"{len(found)} jobs have"
            raise InputError(
                "job_not_found", f"{what} an id that begins with {given!r}; `mq.py list` shows the ids. Nothing was cancelled."
            )
        chosen[found[0].id] = found[0]
    return list(chosen.values())


def _state(args: Namespace) -> Path:
    state_dir: Path = (args.state or arguments.default_state()).absolute()
    if not state_dir.is_dir():
        raise InputError(
            "state_missing", f"There is no state folder {state_dir}: nothing was run yet. `--state DIR` names another one."
        )
    return state_dir
