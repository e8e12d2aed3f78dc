# SPDX-License-Identifier: GPL-3.0-or-later
"""The named workflows and the backends that do their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from .contract import Backend, Json, StepSpec, Workflow
from .errors import MotionQueueError
from .model import JobSpec, PristineSteps

_MAX_STEPS = 50


class Plan(NamedTuple):
    """What a workflow makes of a payload."""

    specs: tuple[StepSpec, ...]
    steps: PristineSteps
    exclusive: bool  # some step wants an exclusive key


class Registry:
    """Not thread-safe: the engine calls it under its lock."""

    def __init__(self) -> None:
        self._backends: dict[str, Backend] = {}
        self._workflows: dict[str, Workflow] = {}
        self._plans: dict[str, Plan] = {}  # of workflows whose steps do not depend on the payload

    def add_backend(self, backend: Backend) -> None:
        if not isinstance(backend, Backend):
            raise MotionQueueError(
                "bad_backend", f"{type(backend).__name__} has not all that a backend needs; see queue/contract.py."
            )
        if not backend.name or not backend.lane:
            raise MotionQueueError("bad_backend", "A backend needs a name and a lane.")
        self._backends[backend.name] = backend
        self._plans.clear()

    def add_workflow(self, workflow: Workflow) -> None:
        if not workflow.name:
            raise MotionQueueError("bad_workflow", "A workflow needs a name.")
        if workflow.plan is None:
            _check_steps(workflow.name, workflow.steps)
        self._workflows[workflow.name] = workflow
        self._plans.pop(workflow.name, None)

    def workflow_names(self) -> tuple[str, ...]:
        return tuple(self._workflows)

    def backends(self) -> tuple[Backend, ...]:
        return tuple(self._backends.values())

    def holding(self) -> list[Backend]:
        """Backends whose jobs wait while they are away instead of failing."""
        return [backend for backend in self._backends.values() if getattr(backend, "hold_while_away", False)]

    def has_backend(self, name: str) -> bool:
        return name in self._backends

    def backend(self, name: str) -> Backend:
        return self._backends[name]

    def plan(self, spec: JobSpec) -> Plan:
        """The steps of a new job, each with its lane; or the error for which the job is refused."""
        if isinstance(spec.priority, bool) or not isinstance(spec.priority, int) or not 0 <= spec.priority <= 100:
            raise MotionQueueError("bad_priority", f"Priority {spec.priority!r} is not a whole number between 0 and 100.")
        workflow = self._workflows.get(spec.workflow)
        if workflow is None:
            known = ", ".join(sorted(self._workflows)) or "none"
            raise MotionQueueError("unknown_workflow", f"There is no workflow {spec.workflow!r}. Registered: {known}.")
        if workflow.validate is not None:
            problems = dict(workflow.validate(spec.payload))
            if problems:
                text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
                raise MotionQueueError(
                    "bad_payload", f"The job {spec.label or spec.workflow!r} cannot be taken: {text}", details=problems
                )
        if workflow.plan is None and (planned := self._plans.get(spec.workflow)) is not None:
            return planned
        planned = self._with_lanes(workflow, spec.payload)
        if workflow.plan is None:
            self._plans[spec.workflow] = planned
        return planned

    def _with_lanes(self, workflow: Workflow, payload: Mapping[str, Json]) -> Plan:
        steps = workflow.steps if workflow.plan is None else tuple(workflow.plan(payload))
        if workflow.plan is not None:
            _check_steps(workflow.name, steps)
        planned = []
        for step in steps:
            backend = self._backends.get(step.backend)
            if backend is None:
                raise MotionQueueError(
                    "unknown_backend",
                    f"No backend {step.backend!r} is registered for the step {step.name!r}; install or enable what provides it.",
                )
            planned.append((step, step.lane or backend.lane))
        return Plan(tuple(steps), PristineSteps.from_plan(planned), any(step.exclusive_key for step in steps))


def _check_steps(workflow: str, steps: Sequence[StepSpec]) -> None:
    if not 0 < len(steps) <= _MAX_STEPS:
        raise MotionQueueError("bad_workflow", f"The workflow {workflow!r} has {len(steps)} steps; it needs 1 to {_MAX_STEPS}.")
    names = [step.name for step in steps]
    twice = [a for a, b in pairwise(sorted(names)) if a == b]
    if twice or not all(names):
        raise MotionQueueError(
            "bad_workflow", f"The steps of {workflow!r} need different names; {twice or 'an empty one'} was found."
        )
    for index, step in enumerate(steps):
        missing = [need for need in step.needs if need not in names[:index]]
        if missing:
            raise MotionQueueError(
                "bad_workflow", f"The step {step.name!r} of {workflow!r} needs {missing}, which do not come before it."
            )
        if step.max_attempts < 1 or step.on_conflict not in ("queue", "reject"):
            raise MotionQueueError(
                "bad_workflow", f"The step {step.name!r} of {workflow!r} has a max_attempts or on_conflict that means nothing."
            )
