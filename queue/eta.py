# SPDX-License-Identifier: GPL-3.0-or-later
"""How long steps take: learned from the steps that ran, by backend, variant and amount of work.

Two things are learned for each (backend, variant): seconds as a function of work, and the time profile, that is which share
of the time has passed when a step reports a fraction of its progress (loading at the start and encoding at the end take
time while little progress is reported). The estimate of a running step goes over from the first to the second as it advances.

Machines change their speed while they work, so both are medians: a step that met a slow moment must not bend the next one's
progress.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from .contract import Json

_KEPT = 24  # observations per variant: old hardware and old versions are forgotten
_KNOTS = 20  # a profile is kept at fractions 0, 1/20, … 1
_PROFILES = 9  # newest profiles per variant; their median counts
_LATELY = 3  # newest observations that say how fast the machine is these days
_RECENT = 0.2  # share of a step's time that says how fast it is now
_USUAL_CHANGE = 0.2  # of pace within a step, as a natural logarithm: no more than machines show anyway
_TRUST = 0.5  # a prediction weighs as much as this share of the step's time once it has been measured
_WORTH_PROFILE = 0.5  # seconds; shorter steps have no profile worth knowing
_MAX_VARIANTS = 200


class Prediction(NamedTuple):
    seconds: float
    guess: bool  # nothing like it was timed yet
    timed: bool = True  # at least its relatives were; False: this is the backend's own first guess


class _Variant:
    __slots__ = ("_lately", "_slope", "profile", "profiles", "seen")

    def __init__(self) -> None:
        self.seen: deque[tuple[float, float]] = deque(maxlen=_KEPT)  # (work, seconds)
        self.profiles: deque[list[float]] = deque(maxlen=_PROFILES)
        self.profile: list[float] | None = None  # their median
        self._slope: float | None = None  # median over all pairs, computed when asked for
        self._lately: float | None = None  # so too

    def add(self, work: float, seconds: float) -> None:
        self.seen.append((round(work, 4), round(seconds, 4)))
        self._slope = self._lately = None

    def add_profile(self, shares: list[float]) -> None:
        self.profiles.append(shares)
        # A median of curves that never fall never falls.
        self.profile = [median(at_knot) for at_knot in zip(*self.profiles, strict=True)]

    def predict(self, work: float) -> float:
        """Seconds for that much work, half way between the usual speed of the machine and its speed of late."""
        if self._lately is None:
            newest = list(self.seen)[-_LATELY:]
            self._lately = median(seconds / self._usual(work) for work, seconds in newest) if len(newest) == _LATELY else 1.0
        return self._usual(work) * math.sqrt(self._lately)

    def _usual(self, work: float) -> float:
        """A line through the nearest observations, never falling with work; at least a millisecond."""
        near = sorted(self.seen, key=lambda o: _distance(o[0], work))[:8]
        middle_work = median(o[0] for o in near)
        middle_seconds = median(o[1] for o in near)
        proportional = middle_seconds / middle_work if middle_work > 0 else 0.0
        # Between a fixed cost (slope 0) and pure proportion: a step has some of both, and noise must not leave that range.
        slope = min(max(self._median_slope(proportional), 0.0), proportional)
        return max(middle_seconds + slope * (work - middle_work), 1e-3)

    def _median_slope(self, otherwise: float) -> float:
        if self._slope is None:
            slopes = [
                (b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(self.seen, 2) if abs(b[0] - a[0]) > 0.1 * max(a[0], b[0])
            ]
            self._slope = median(slopes) if slopes else math.inf
        return otherwise if self._slope == math.inf else self._slope


def _distance(a: float, b: float) -> float:
    if a <= 0 or b <= 0:
        return abs(a - b)
    return max(a, b) / min(a, b)


class Durations:
    """Not thread-safe: the engine calls it under its lock."""

    def __init__(self) -> None:
        self._variants: dict[str, _Variant] = {}
        self._backends: set[str] = set()
        self.changed = False

    def knows(self, backend: str) -> bool:
        """Some step of this backend was timed."""
        return backend in self._backends

    def observe(self, backend: str, key: str, work: float, seconds: float, samples: Sequence[tuple[float, float]] = ()) -> None:
        """A step took `seconds` for `work`. `samples` are its (fraction reported, seconds since start), ascending."""
        variant = self._variants.get(f"{backend}|{key}")
        if variant is None:
            if len(self._variants) >= _MAX_VARIANTS:
                del self._variants[next(iter(self._variants))]
            variant = self._variants[f"{backend}|{key}"] = _Variant()
        variant.add(work, seconds)
        self._backends.add(backend)
        self.changed = True
        if seconds >= _WORTH_PROFILE and len(samples) >= 3:
            variant.add_profile(_profile(samples, seconds))

    def predict(self, backend: str, key: str, work: float, first_guess: float | None = None) -> Prediction | None:
        """What a step will take in all; None when neither history nor a first guess says anything."""
        variant = self._variants.get(f"{backend}|{key}")
        if variant is not None and variant.seen:
            return Prediction(variant.predict(work), guess=False)
        relative = self._relative(backend, key)
        if relative is not None:
            return Prediction(relative.predict(work), guess=True)
        return None if first_guess is None else Prediction(max(first_guess, 1e-3), guess=True, timed=False)

    def total_of_running(
        self,
        backend: str,
        key: str,
        elapsed: float,
        fraction: float,
        predicted: float | None,
        measured: float | None = None,
        samples: Sequence[tuple[float, float]] = (),
    ) -> float | None:
        """Seconds a running step will have taken in all, from what was predicted and from how far it says it is.

        `elapsed`: seconds at work so far. `measured`: how many of them it took to come to `fraction`; all of them if not given.
        `samples`: as for `observe`, so far.
        """
        if fraction <= 0.0:
            return None if predicted is None else max(predicted, elapsed * 1.02)
        measured = elapsed if measured is None else measured
        share = max(self._time_share(backend, key, fraction), 1e-3)
        total = self._at_its_pace(backend, key, samples, measured / share)
        if predicted is not None:
            # Early on a report says little about the whole; the further it is, the more the machine's speed has shown itself.
            total = (_TRUST * predicted + share * total) / (_TRUST + share)
        return max(measured + (1.0 - share) * total, elapsed)

    def _at_its_pace(self, backend: str, key: str, samples: Sequence[tuple[float, float]], usual: float) -> float:
        """Seconds for the whole of a step that took `usual` by its pace so far: as far as its pace has changed, it stays so."""
        if not samples or usual <= 0.0:
            return usual
        fraction, at = samples[-1]
        share = self._time_share(backend, key, fraction)
        for earlier, then in reversed(samples):
            passed = share - self._time_share(backend, key, earlier)
            if passed >= _RECENT:
                change = math.log(max(at - then, 1e-6) / passed / usual)
                return usual * math.exp(math.copysign(max(abs(change) - _USUAL_CHANGE, 0.0), change))
        return usual

    def _relative(self, backend: str, key: str) -> _Variant | None:
        """The variant last seen that begins with the same word: the same engine at another size says more than a first guess."""
        start = f"{backend}|{key.partition(' ')[0]} "
        return next((v for name, v in reversed(self._variants.items()) if name.startswith(start) and v.seen), None)

    def _time_share(self, backend: str, key: str, fraction: float) -> float:
        variant = self._variants.get(f"{backend}|{key}")
        if variant is None or variant.profile is None:
            return fraction
        at = min(max(fraction, 0.0), 1.0) * _KNOTS
        i = min(int(at), _KNOTS - 1)
        low, high = variant.profile[i], variant.profile[i + 1]
        return low + (at - i) * (high - low)

    def to_json(self) -> dict[str, Json]:
        return {
            name: {"seen": [list(o) for o in v.seen], "profiles": [[round(p, 3) for p in shares] for shares in v.profiles]}
            for name, v in self._variants.items()
        }

    def load(self, value: Mapping[str, Json]) -> None:
        """Take over what an earlier session learned. Raises ValueError, TypeError or KeyError when it is damaged."""
        for name, entry in value.items():
            variant = _Variant()
            variant.seen.extend((float(work), float(seconds)) for work, seconds in entry["seen"])
            for shares in entry.get("profiles", ()):
                if len(shares) != _KNOTS + 1:
                    raise ValueError(f"a time profile of {name} has {len(shares)} knots, not {_KNOTS + 1}")
                variant.add_profile([float(share) for share in shares])
            self._variants[name] = variant
            self._backends.add(name.partition("|")[0])


def _profile(samples: Sequence[tuple[float, float]], seconds: float) -> list[float]:
    """Time share at each knot, by linear interpolation of the reports; starts at 0, ends at 1, never falls."""
    points = [(0.0, 0.0)]
    for fraction, at in samples:
        if fraction > points[-1][0]:
            points.append((min(fraction, 1.0), min(at / seconds, 1.0)))
    # The last report is not the end: from there to 1.0 the remaining time passes.
    if points[-1][0] < 1.0:
        points.append((1.0, 1.0))
    shares: list[float] = []
    i = 0
    for knot in range(_KNOTS + 1):
        x = knot / _KNOTS
        while i + 2 < len(points) and points[i + 1][0] < x:
            i += 1
        (x0, y0), (x1, y1) = points[i], points[i + 1]
        shares.append(y0 if x1 <= x0 else min(max(y0 + (x - x0) / (x1 - x0) * (y1 - y0), 0.0), 1.0))
    return shares
