# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what was measured as a page for people, with tables and pictures. Measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from textwrap import fill

import numpy as np

from ..report import Measure
from . import prompts, strips
from .body import Track
from .makers import Made
from .measures import Figure
from .studies import Group, Results

_ROWS = 5  # strips in one picture


def write(folder: Path, results: Results, measured: Sequence[Measure]) -> None:
    """`generation-report.md` in `folder`, its pictures in `folder/images`."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    parts = [_opening(results), _summary(measured)]
    if results.groups:
        parts.append(_groups(results, images))
    if results.errors:
        parts.append(_checks(results, images))
    if results.reworded:
        parts.append(_wordings(results))
    if results.real:
        parts.append(_real(results))
    parts.append(_speed(measured))
    parts += [_pictures(name, answers, images) for name, answers in results.checked.items()]
    (folder / "generation-report.md").write_text(_filled("\n\n".join(part for part in parts if part)) + "\n", encoding="utf-8")


def _filled(text: str) -> str:
    """Prose with lines of one width; headings, tables and pictures as they are."""
    blocks = [block.strip("\n") for block in text.split("\n\n")]
    return "\n\n".join(
        block if block.startswith(("#", "|", "!")) else fill(block, 130, break_on_hyphens=False) for block in blocks
    )


def _opening(results: Results) -> str:
    what = (
        f"**The generator was not measured: {results.missing}.** What follows is what it will be measured against."
        if results.missing
        else ""
    )
    return f"""# How good generated motion is

Written by `mq.py bench generate --report docs/` on {date.today().isoformat()} in {results.seconds / 60:.0f} minutes. {what}

Real clips are those of the motion pack. Its validation split is 30 clips of five subjects that no model has seen: nearly all
of them walk, jump while turning, run or do acrobatics. So figures over it are about those actions only, their intervals are
wide, and where a figure needs more, it comes from training clips judged without their subject. Intervals are of 95 %, by
drawing whole prompts or subjects. The learned judges are trained on the training split alone; what is generated is judged by
five pairs of judges together, of which each lacks other subjects."""


def _summary(measured: Sequence[Measure]) -> str:
    rows = [
        f"| {m.measure} | {_number(m.value)} {m.unit} | {_target(m)} | {'ok' if m.ok else '**miss**'} |"
        for m in measured
        if m.target is not None
    ]
    head = ["## Against the targets", "", "| measure | value | target | |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) if rows else ""


def _target(measure: Measure) -> str:
    return f"{'≤' if measure.at_most else '≥'} {_number(measure.target)} {measure.unit}"


def _groups(results: Results, images: Path) -> str:
    names = [name for name, group in results.groups.items() if group.accuracy is not None]
    lines = [
        "## Beside real motion and retrieval",
        "",
        "Retrieval answers with the training clip whose caption shares most with the prompt. Shuffled: the",
        "same motions, judged by",
        "other prompts than their own, which is what a judge gives for nothing.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]

    def row(label: str, *cells: str) -> None:
        lines.append(f"| {label} | " + " | ".join(cells) + " |")

    groups = [results.groups[name] for name in names]
    row("classifier agrees with the captions of validation clips, %", *(_figure(g.accuracy, 100) for g in groups))
    row("classifier agrees with 22 plain prompts of all classes, %", *(_figure(g.vocabulary, 100) for g in groups))
    row("R@1 in pools of 32, %", *(_figure(g.first, 100) for g in groups))
    row("R@3 in pools of 32, %", *(_figure(g.third, 100) for g in groups))
    row("KID to validation clips (mean ± deviation over subsets)", *(_kid(g) for g in groups))
    row("foot skate in contact, m/s", *(_figure(g.skate, 1, 3) for g in groups))
    row("frames in which nothing holds the body, %", *(_figure(g.skating, 100) for g in groups))
    row("penetration, 95th percentile of frames, cm", *("–" if g.depth is None else f"{g.depth:.2f}" for g in groups))
    row("jerk against captured clips of the same action", *(_figure(g.jerk, 1, 2) for g in groups))
    row("diversity over seeds", *(_figure(g.diversity, 1, 2) for g in groups))
    near = {name: group for name, group in results.groups.items() if group.neighbours}
    strips.spreads(
        [(name, [n.overall for n in group.neighbours]) for name, group in near.items()],
        images / "generate-nearest.png", "Distance to the nearest clip", "mean joint distance over two seconds, cm",
    )  # fmt: skip
    lines += [
        "",
        "KID of real clips is that of one half of them to the other. Foot skate is the mean speed of heels",
        "and balls within 2.5 cm",
        "of the floor that are not swinging; penetration takes heels, balls, toes and all joints. Jerk is the",
        "median over joints of",
        "the mean third derivative, its ratio the median over the twenty prompts.",
        "",
        "Nearest clips: joints are compared over every two seconds, placed and turned on the floor so that",
        "they fit best, with all",
        "training clips and their mirror images (real validation clips: with one another, and with the training clips).",
        "",
        "| | clips | least, cm | 5 % | median | closest two seconds, cm |",
        "|---|---|---|---|---|---|",
    ]
    for name, group in near.items():
        values = [n.overall for n in group.neighbours]
        closest = min(n.closest for n in group.neighbours)
        lines.append(
            f"| {name} | {len(values)} | {min(values):.1f} | {np.percentile(values, 5):.1f} | {np.median(values):.1f} "
            f"| {closest:.1f} |"
        )
    lines += ["", "![Distances to the nearest clip](images/generate-nearest.png)"]
    for name, ratios in results.jerks.items():
        lines += ["", f"Jerk by prompt, {name}: " + ", ".join(f"{prompt} {ratio:.2f}" for prompt, ratio in ratios.items()) + "."]
    return "\n".join(lines)


def _checks(results: Results, images: Path) -> str:
    makers = list(results.checked)
    lines = [
        "## Twenty prompts by geometry",
        "",
        f"{results.seeds} seeds each. Each check was tried on real clips: those that do what the prompt says",
        "have to pass, those of",
        "other actions must not. Clips of which it cannot be said (a dance may turn to the left) are left",
        "out, as are clips on uneven",
        "ground, which is not in the data. Mirror images stand in where one side is thin; for the last",
        "prompt, which no clip shows,",
        "clips of its three parts are joined.",
        "",
        "| prompt | " + " | ".join(f"{name} passes" for name in makers) + " | real clips that pass | others that pass wrongly |",
        "|---|" + "---|" * len(makers) + "---|---|",
    ]
    totals: dict[str, list[bool]] = {name: [] for name in makers}
    for number, check in enumerate(prompts.all_checks(), 1):
        cells = []
        for name in makers:
            answers = results.checked[name].get(check.name, [])
            passed = [made.track is not None and check.passes(made.track) for made in answers]
            totals[name] += passed
            cells.append(f"{sum(passed)} of {len(passed)}" if passed else "–")
        errors = results.errors[check.name]
        share = 100.0 * errors.wrongly / max(1, errors.others)
        real = f"{errors.passed} of {errors.does}" if errors.does else "none there"
        lines.append(
            f"| {number}. {check.prompt} | "
            + " | ".join(cells)
            + f" | {real} | {errors.wrongly} of {errors.others} ({share:.1f} %) |"
        )
    does, passes = sum(e.does for e in results.errors.values()), sum(e.passed for e in results.errors.values())
    others, wrongly = sum(e.others for e in results.errors.values()), sum(e.wrongly for e in results.errors.values())
    lines.append(
        "| all | " + " | ".join(f"**{100.0 * float(np.mean(totals[n] or [False])):.0f} %**" for n in makers)
        + f" | {100.0 * passes / max(1, does):.0f} % | {100.0 * wrongly / max(1, others):.1f} % |"
    )  # fmt: skip
    refused = {name: _refusals(results.checked[name]) for name in makers}
    lines += [f"\nRefused by the {name}: {text}." for name, text in refused.items() if text]
    for name in makers:
        file = f"generate-confusions-{name}.png"
        names = [check.name for check in prompts.all_checks() if check.name in results.checked[name]]
        table = [[_share(results.checked[name][row], column) for column in names] for row in names]
        strips.matrix(
            np.array(table), names, names, images / file, f"Rows: what was asked of {name}. Columns: checks that pass, %"
        )
        lines += ["", f"![Which checks pass for which prompt, {name}](images/{file})"]
    return "\n".join(lines)


def _wordings(results: Results) -> str:
    makers = list(results.reworded)
    sets = list(results.reworded[makers[0]])
    lines = [
        "## The twenty in other words",
        "",
        "Sentences of people who had not seen the reader of prompts, two seeds each. What it could not read",
        "of the “known” ones was",
        "mended afterwards; those held back nobody looked at before this was measured.",
        "",
        "| prompt | " + " | ".join(f"{name}, {which.replace('_', ' ')}" for name in makers for which in sets) + " |",
        "|---|" + "---|" * (len(makers) * len(sets)),
    ]
    columns = [results.reworded[name][which] for name in makers for which in sets]
    for number, check in enumerate(prompts.all_checks(), 1):
        cells = [f"{sum(c[check.name]):.0f} of {len(c[check.name])}" if check.name in c else "–" for c in columns]
        lines.append(f"| {number}. {check.prompt} | " + " | ".join(cells) + " |")
    means = [100.0 * float(np.mean([np.mean(passed) for passed in c.values()])) for c in columns]
    lines.append("| all | " + " | ".join(f"**{mean:.0f} %**" for mean in means) + " |")
    return "\n".join(lines)


def _share(answers: Sequence[Made], column: str) -> float:
    check = next(c for c in prompts.all_checks() if c.name == column)
    return float(np.mean([made.track is not None and check.passes(made.track) for made in answers]))


def _refusals(answers: dict[str, list[Made]]) -> str:
    found = {name: sorted({m.error for m in made if m.error}) for name, made in answers.items()}
    return ", ".join(f"{name} ({', '.join(codes)})" for name, codes in found.items() if codes)


def _real(results: Results) -> str:
    assert results.real is not None
    real = results.real
    lines = [
        "## What the judges are worth",
        "",
        "On real clips of subjects that they have not seen:",
        "",
        "| | % | subjects |",
        "|---|---|---|",
        "| classifier agrees (classes that more than one subject does) | "
        f"{_figure(real.cross_validated, 100)} | {real.cross_validated.count} |",
        f"| R@1 in pools of 32 | {_figure(real.cv_first, 100)} | {real.cv_first.count} |",
        f"| R@3 in pools of 32 | {_figure(real.cv_third, 100)} | {real.cv_third.count} |",
        "",
        "By class (a clip can have several; the likeliest class has to be one of them). A class of one",
        "subject cannot be recognised",
        "by judges that have not seen that subject, and counts in nothing:",
        "",
        "| class | clips | subjects | agrees, % |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {count} | {subjects} | {f'{100 * share:.0f}' if subjects > 1 else '–'} |"
        for name, (count, subjects, share) in real.per_class.items()
    ]
    return "\n".join(lines)


def _speed(measured: Sequence[Measure]) -> str:
    rows = [m for m in measured if m.measure.startswith(("loading the model", "a motion of", "memory of the process"))]
    if not rows:
        return ""
    lines = ["## Speed", "", "| measure | value | target | |", "|---|---|---|---|"]
    for m in rows:
        peers = "; ".join(f"{name}: {_number(value)} {m.unit}" for name, value in m.peers.items())
        text = "; ".join(part for part in (peers, m.note) if part)
        lines.append(f"| {m.measure} | {_number(m.value)} {m.unit} | {_target(m)} {'ok' if m.ok else '**miss**'} | {text} |")
    return "\n".join(lines)


def _pictures(name: str, answers: dict[str, list[Made]], images: Path) -> str:
    """The first seed of each prompt; whether it passed its check stands beside it."""
    rows: list[tuple[str, Track]] = []
    refused = []
    for number, check in enumerate(prompts.all_checks(), 1):
        made = answers.get(check.name, [None])[0]
        if made is None:
            continue
        if made.track is None:
            refused.append(check.prompt)
            continue
        verdict = "passes" if check.passes(made.track) else "FAILS"
        source = f", {made.source}" if made.source else ""
        rows.append((f"{number}. {check.prompt}: seed {made.seed}{source}, {verdict}", made.track))
    lines = [
        f"## What it looks like: {name}",
        "",
        "The first seed of each prompt, whatever came out. Left limbs are blue, right ones orange; the grey",
        "arrow is where the body",
        "faces; the view is from the front and the side. On the right the path from above, from the green dot.",
    ]
    for start in range(0, len(rows), _ROWS):
        file = f"generate-strips-{name}-{start // _ROWS + 1}.png"
        strips.sheet(rows[start : start + _ROWS], images / file)
        lines += ["", f"![Stick figures of the prompts from {start + 1}, {name}](images/{file})"]
    return "\n".join(lines)


def _figure(figure: Figure | None, scale: float, digits: int = 0) -> str:
    return "–" if figure is None else figure.text(scale, digits)


def _kid(group: Group) -> str:
    return "–" if group.kid is None else f"{group.kid[0]:.2f} ± {group.kid[1]:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
