# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation's parts, each over all its clips: what real clips reach, the errors of the checks, the checks of a maker, and
makers beside real motion. Fills `Results` and the report of the benchmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ....motion.quat import Array
from ...cli.exit_codes import InputError
from ..report import Report
from . import measures, prompts
from .body import Track
from .features import Space
from .judges import NAMES, hit, measurable
from .makers import Made, Maker
from .measures import Figure, bootstrap
from .nearest import Library, Neighbour
from .pack import Clip

if TYPE_CHECKING:
    from .judges import Judges

# One plain prompt or two for each class that the classifier knows.
VOCABULARY: tuple[tuple[str, str], ...] = (
    ("walk", "a person walks forward"), ("walk", "someone walks slowly in a curve to the left"),
    ("run", "a person runs forward"), ("run", "someone jogs straight ahead"),
    ("jump", "a person jumps forward"), ("jump", "a person jumps up high"),
    ("dance", "a person dances salsa"), ("dance", "a person performs an Indian classical dance"),
    ("climb", "a person climbs up a climbing frame"), ("martial arts", "a person performs karate moves"),
    ("kick", "a person kicks with the right leg"), ("punch", "a person punches with the right hand"),
    ("stand", "a person stands still"), ("gesture", "a referee gives hand signals"),
    ("gesture", "a person raises both hands above the head"), ("acrobatics", "a person breakdances"),
    ("acrobatics", "a person does a cartwheel"), ("dribble", "a person dribbles a basketball while moving forward"),
    ("sword", "a person swings a sword"), ("crouch", "a person crouches down"), ("sit", "a person sits on a chair"),
    ("lie", "a person lies on the ground"),
)  # fmt: skip
# What a hit is, where another name is as right: breakdance is tagged as dance as well, karate is full of kicks and punches.
_ALSO: Mapping[str, frozenset[str]] = {
    "acrobatics": frozenset({"dance", "jump"}), "martial arts": frozenset({"kick", "punch"}),
    "kick": frozenset({"martial arts"}), "punch": frozenset({"martial arts"}), "lie": frozenset({"sit"}),
}  # fmt: skip
_VOCABULARY_SEEDS = 3
_VAL_SEEDS = 2
_WORDING_SEEDS = (5000, 5001)


@dataclass(slots=True, kw_only=True)
class Group:
    """What is measured of one set of clips: real ones, or the answers of a maker."""

    accuracy: Figure | None = None  # of the captions of validation clips
    vocabulary: Figure | None = None  # of the plain prompts of all classes
    first: Figure | None = None
    third: Figure | None = None
    kid: tuple[float, float] | None = None
    skate: Figure | None = None  # m/s
    skating: Figure | None = None  # share of frames
    depth: float | None = None  # cm, 95th percentile of frames
    jerk: Figure | None = None  # ratio to real mocap of the same action
    diversity: Figure | None = None
    neighbours: list[Neighbour] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)  # of the same clips: the training clip that the answer says it is, or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckErrors:
    """Of one check, over real clips."""

    passed: int
    does: int  # clips that must pass
    wrongly: int
    others: int  # clips that must not pass


@dataclass(slots=True, kw_only=True)
class Real:
    """What real motion reaches."""

    cross_validated: Figure  # accuracy on unseen subjects, classes of more than one subject
    per_class: dict[str, tuple[int, int, float]]  # clips, subjects, share recognised by judges that saw none of the subject
    cv_first: Figure
    cv_third: Figure


@dataclass(slots=True, kw_only=True)
class Results:
    """Everything that the page needs."""

    missing: str
    seeds: int
    real: Real | None = None
    errors: dict[str, CheckErrors] = field(default_factory=dict)
    checked: dict[str, dict[str, list[Made]]] = field(default_factory=dict)  # maker → check → answers
    reworded: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)  # maker → set → check → passes, 0 or 1
    groups: dict[str, Group] = field(default_factory=dict)
    jerks: dict[str, dict[str, float]] = field(default_factory=dict)  # maker → action → ratio
    seconds: float = 0.0


def real(clips: Sequence[Clip], judges: Judges, report: Report) -> Real:
    """What the judges make of real clips whose subjects they have not seen."""
    training = [clip for clip in clips if clip.split == "train"]
    known = measurable(clips)
    hits: dict[str, list[float]] = defaultdict(list)
    classes: dict[str, list[bool]] = defaultdict(list)
    subjects: dict[str, set[str]] = defaultdict(set)
    first: dict[str, list[float]] = defaultdict(list)
    third: dict[str, list[float]] = defaultdict(list)
    for clip in training:
        found = hit(judges.classes(clip.track, clip.subject), clip.classes)
        if clip.classes & known:
            hits[clip.subject].append(float(found))
        for name in clip.classes:
            classes[name].append(found)
            subjects[name].add(clip.subject)
        ranked = judges.ranking(clip.track, clip.captions[0], clip.subject)
        first[clip.subject].append(ranked.first)
        third[clip.subject].append(ranked.third)
    made = Real(
        cross_validated=bootstrap(list(hits.values())),
        per_class={n: (len(classes[n]), len(subjects[n]), float(np.mean(classes[n]))) for n in NAMES if classes[n]},
        cv_first=bootstrap(list(first.values())),
        cv_third=bootstrap(list(third.values())),
    )
    for label, figure in (
        ("real clips of unseen subjects: classifier agrees", made.cross_validated),
        ("real clips of unseen subjects: R@1 of 32", made.cv_first),
        ("real clips of unseen subjects: R@3 of 32", made.cv_third),
    ):
        report.add(label, 100.0 * figure.value, "%", note=_interval(figure, 100.0) + f", {figure.count} subjects")
    return made


def check_errors(clips: Sequence[Clip], report: Report) -> dict[str, CheckErrors]:
    """How often each check passes the real clips that it must pass, and those that it must not."""
    found = {}
    for check in prompts.all_checks():
        does, others = prompts.real_cases(check, clips), prompts.other_cases(check, clips)
        found[check.name] = CheckErrors(
            passed=sum(check.passes(track) for _, track in does),
            does=len(does),
            wrongly=sum(check.passes(track) for _, track in others),
            others=len(others),
        )
    report.add("checks: real clips that do it pass", _percent((e.passed, e.does) for e in found.values()), "%")
    report.add("checks: real clips of other actions pass wrongly", _percent((e.wrongly, e.others) for e in found.values()), "%")
    return found


def check(maker: Maker, names: Sequence[str], seeds: int, report: Report) -> dict[str, list[Made]]:
    """The answers to the twenty prompts, and what of them passes."""
    answers: dict[str, list[Made]] = {}
    shares = []
    for one in chosen(names):
        answers[one.name] = [maker.make(one.prompt, one.seconds, seed) for seed in range(seeds)]
        passed = [float(made.track is not None and one.passes(made.track)) for made in answers[one.name]]
        shares.append(passed)
        report.add(f"{maker.name}: “{one.prompt}” passes", 100.0 * float(np.mean(passed)), "%")
    figure = bootstrap(shares)
    target = {"target": 90.0, "at_most": False} if maker.name == "generator" else {}
    report.add(f"{maker.name}: geometry passes", 100.0 * figure.value, "%", note=_interval(figure, 100.0), **target)
    return answers


def reword(maker: Maker, names: Sequence[str], report: Report) -> dict[str, dict[str, list[float]]]:
    """What passes of the twenty prompts when they are said in other words; seeds that the prompts themselves are not given."""
    found: dict[str, dict[str, list[float]]] = {}
    for which, sentences in prompts.wordings().items():
        passed = found[which] = {}
        for one in chosen(names):
            answers = [maker.make(text, one.seconds, seed) for text in sentences[one.name] for seed in _WORDING_SEEDS]
            passed[one.name] = [float(made.track is not None and one.passes(made.track)) for made in answers]
        figure = bootstrap(list(passed.values()))
        label = f"{maker.name}: geometry passes, in other words ({which.replace('_', ' ')})"
        report.add(label, 100.0 * figure.value, "%", note=_interval(figure, 100.0))
    return found


def chosen(names: Sequence[str]) -> list[prompts.Check]:
    """The checks with these names or numbers (from 1); all for none. `InputError("unknown_prompt")`."""
    every = prompts.all_checks()
    unknown = [n for n in names if n not in {c.name for c in every} and n not in {str(i + 1) for i in range(len(every))}]
    if unknown:
        raise InputError(
            "unknown_prompt",
            f"No prompt is called {', '.join(unknown)}; there are 1 to {len(every)}: {', '.join(c.name for c in every)}.",
        )
    return [c for number, c in enumerate(every, 1) if not names or c.name in names or str(number) in names]


def compare(
    makers: Sequence[Maker], clips: Sequence[Clip], judges: Judges, results: Results, report: Report, say: Callable[[str], None]
) -> None:
    """Real validation clips, and each maker on their captions, on the plain prompts and on the twenty."""
    training = [clip for clip in clips if clip.split == "train"]
    val = [clip for clip in clips if clip.split == "val"]
    space = Space.of([clip.track for clip in training])
    library = Library([(clip.id, clip.track) for clip in training])
    jerks = _real_jerks(clips)
    truth = np.concatenate([space.vectors(clip.track) for clip in val])

    real_group = _of_clips(val, judges)
    within = Library([(clip.id, clip.track) for clip in val])
    real_group.neighbours = [within.nearest(clip.track, without={clip.id}) for clip in val]
    halves = [np.concatenate([space.vectors(c.track) for c in val[start::2]]) for start in (0, 1)]
    real_group.kid = measures.kid(halves[0], halves[1])
    real_group.jerk = bootstrap([[measures.jerk(c.track) / jerks[a] for a in c.classes if a in jerks] for c in val])
    _natural(real_group, {clip.id: [clip.track] for clip in val})
    results.groups["real validation clips"] = real_group
    across = Group(neighbours=[library.nearest(clip.track) for clip in val])
    results.groups["real validation clips, to training clips"] = across

    for maker in makers:
        say(f"Captions, plain prompts and naturalness: {maker.name}.")
        group = Group()
        answers = [(clip, maker.make(clip.captions[0], clip.track.seconds, seed)) for clip in val for seed in range(_VAL_SEEDS)]
        _judge(group, answers, judges, 0)
        vectors = [space.vectors(made.track) for _, made in answers if made.track is not None]
        group.kid = measures.kid(np.concatenate(vectors), truth) if vectors else None
        plain = [
            (name, maker.make(text, None if maker.name == "generator" else 4.0, seed))
            for name, text in VOCABULARY
            for seed in range(_VOCABULARY_SEEDS)
        ]
        right = [[_right(judges, made, name)] for name, made in plain]
        group.vocabulary = bootstrap(right)
        twenty = results.checked.get(maker.name) or {
            one.name: [maker.make(one.prompt, one.seconds, seed) for seed in range(results.seeds)] for one in prompts.all_checks()
        }
        tracks = {name: [made.track for made in made_all if made.track is not None] for name, made_all in twenty.items()}
        _natural(group, tracks)
        actions = {one.name: _action(one) for one in prompts.all_checks()}
        ratios = {
            name: float(np.median([measures.jerk(t) for t in found]) / jerks[actions[name]])
            for name, found in tracks.items()
            if found and actions[name] in jerks
        }
        results.jerks[maker.name] = ratios
        group.jerk = bootstrap([[value] for value in ratios.values()], lambda values: float(np.median(values)))
        group.diversity = bootstrap([[measures.diversity([space.vectors(t) for t in found])] for found in tracks.values()])
        group.neighbours = [library.nearest(t) for found in tracks.values() for t in found]
        group.sources = [made.source for made_all in twenty.values() for made in made_all if made.track is not None]
        results.groups[maker.name] = group
        shuffled = Group()
        _judge(shuffled, answers, judges, _VAL_SEEDS * 11)
        shuffled.vocabulary = bootstrap(
            [[_right(judges, made, plain[(i + 5 * _VOCABULARY_SEEDS) % len(plain)][0])] for i, (_, made) in enumerate(plain)]
        )
        results.groups[f"{maker.name}, prompts shuffled"] = shuffled
    _tell(results, report)


def _of_clips(clips: Sequence[Clip], judges: Judges) -> Group:
    group = Group()
    by_subject: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_subject[clip.subject].append(clip)
    found = {
        c.id: (hit(judges.classes(c.track, c.subject), c.classes), judges.ranking(c.track, c.captions[0], c.subject))
        for c in clips
    }
    groups = list(by_subject.values())
    group.accuracy = bootstrap([[float(found[c.id][0]) for c in part] for part in groups])
    group.first = bootstrap([[found[c.id][1].first for c in part] for part in groups])
    group.third = bootstrap([[found[c.id][1].third for c in part] for part in groups])
    return group


def _judge(group: Group, answers: Sequence[tuple[Clip, Made]], judges: Judges, shift: int) -> None:
    """Answers against the clip that asked for them, or, with `shift`, for another one. A refusal is a miss."""
    accuracy, first, third = [], [], []
    for number, (_, made) in enumerate(answers):
        clip = answers[(number + shift) % len(answers)][0]
        if made.track is None:
            accuracy.append([0.0])
            first.append([0.0])
            third.append([0.0])
            continue
        ranked = judges.ranking(made.track, clip.captions[0])
        accuracy.append([float(hit(judges.classes(made.track), clip.classes))])
        first.append([ranked.first])
        third.append([ranked.third])
    group.accuracy, group.first, group.third = bootstrap(accuracy), bootstrap(first), bootstrap(third)


def _right(judges: Judges, made: Made, name: str) -> float:
    return float(made.track is not None and hit(judges.classes(made.track), frozenset({name}) | _ALSO.get(name, frozenset())))


def _natural(group: Group, tracks: Mapping[str, Sequence[Track]]) -> None:
    group.skate = bootstrap([[measures.skate(t) for t in found] for found in tracks.values()])
    group.skating = bootstrap([[measures.skating_share(t) for t in found] for found in tracks.values()])
    depths: list[Array] = [measures.depths(t) for found in tracks.values() for t in found]
    group.depth = 100.0 * float(np.percentile(np.concatenate(depths), 95)) if depths else None


def _real_jerks(clips: Sequence[Clip]) -> dict[str, float]:
    """Median jerk of captured (not drawn) clips of each class that has at least five."""
    found: dict[str, list[float]] = defaultdict(list)
    for clip in clips:
        if clip.style == "mocap" and not clip.derived:
            for name in clip.classes:
                found[name].append(measures.jerk(clip.track))
    return {name: float(np.median(values)) for name, values in found.items() if len(values) >= 5}


def _action(one: prompts.Check) -> str:
    return next((name for name in NAMES if name in one.classes), "walk" if "turn" in one.name else "")


def _tell(results: Results, report: Report) -> None:
    """Every group's figures; the targets are the generator's."""
    accuracy = results.groups["real validation clips"].accuracy
    for name, group in results.groups.items():
        ours = name == "generator"

        def add(
            label: str, figure: Figure | None, unit: str, scale: float = 1.0, target: float | None = None, *,
            at_most: bool = True, name: str = name, ours: bool = ours,
        ) -> None:  # fmt: skip
            if figure is not None and np.isfinite(figure.value):
                aim = target if ours else None
                note = _interval(figure, scale)
                report.add(f"{name}: {label}", scale * figure.value, unit, target=aim, at_most=at_most, note=note)

        of_real = 80.0 * accuracy.value if accuracy else None
        of_plain = 80.0 * results.real.cross_validated.value if results.real else None
        add("classifier agrees with captions of validation clips", group.accuracy, "%", 100.0, of_real, at_most=False)
        add("classifier agrees with plain prompts", group.vocabulary, "%", 100.0, of_plain, at_most=False)
        add("R@1 of 32", group.first, "%", 100.0)
        add("R@3 of 32", group.third, "%", 100.0)
        if group.kid is not None:
            report.add(f"{name}: KID to validation clips", group.kid[0], "", note=f"± {group.kid[1]:.3f} over subsets")
        add("foot skate in contact", group.skate, "m/s", target=0.05)
        add("frames in which nothing holds the body", group.skating, "%", 100.0)
        if group.depth is not None:
            report.add(f"{name}: penetration p95", group.depth, "cm", target=1.0 if ours else None)
        add("jerk against captured motion of the same action", group.jerk, "×")
        if ours and group.jerk is not None and group.jerk.value > 0.0:
            away = max(group.jerk.value, 1.0 / group.jerk.value)
            report.add("generator: jerk away from captured motion, either way", away, "×", target=1.3)
        add("diversity over seeds", group.diversity, "")
    _tell_nearest(results, report)


def _tell_nearest(results: Results, report: Report) -> None:
    real = min(n.overall for n in results.groups["real validation clips"].neighbours)
    for name, group in results.groups.items():
        if not group.neighbours:
            continue
        overall = [n.overall for n in group.neighbours]
        closest = min(n.closest for n in group.neighbours)
        report.add(f"{name}: nearest clip, median", float(np.median(overall)), "cm")
        report.add(f"{name}: nearest clip, least", min(overall), "cm", note=f"closest two seconds {closest:.1f} cm")
        if name == "generator":
            closer = [bool(source) for value, source in zip(overall, group.sources, strict=True) if value < real]
            note = (
                f"of {len(overall)}; nearer than {real:.1f} cm: {len(closer)}, of which {sum(closer)} are reported as retrieved"
            )
            report.add(
                "generator: clips nearer to training than real ones are to each other, and not reported as retrieved",
                len(closer) - sum(closer), "clips", target=0, note=note,
            )  # fmt: skip
            report.add("generator: clips reported as retrieved", sum(map(bool, group.sources)), "clips")


def _percent(pairs: Iterable[tuple[int, int]]) -> float:
    counts = list(pairs)
    return 100.0 * sum(part for part, _ in counts) / max(1, sum(whole for _, whole in counts))


def _interval(figure: Figure, scale: float) -> str:
    return f"95 %: {scale * figure.low:.3g} to {scale * figure.high:.3g}"
