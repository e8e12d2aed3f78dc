# SPDX-License-Identifier: GPL-3.0-or-later
"""The published models themselves, from checkouts beside this one, with small random weights in the published layout."""

from __future__ import annotations

import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from motion_queue.backends.children import ChildPool, ChildSettings
from motion_queue.backends.published import check
from motion_queue.backends.published.backend import generate, try_loading
from motion_queue.backends.published.model import MotionRequest, PublishedModel, Which
from motion_queue.motion.bvh import read_bvh
from motion_queue.queue.errors import MotionQueueError, StepStopped
from motion_queue.tests.children.support import BOUND, Context

from .conftest import Installed

Install = Callable[[Which], Installed]
WHICH = pytest.mark.parametrize("which", list(Which), ids=[w.name.lower() for w in Which])


@pytest.fixture(scope="module")
def warm() -> Iterator[ChildPool]:
    """One pool for all: torch is loaded once for each model."""
    made = ChildPool(ChildSettings())
    yield made
    made.close(10.0)


def request(**changes: Any) -> MotionRequest:
    return MotionRequest(
        **{"prompt": "a person walks forward and waves", "seconds": 2.0, "seed": 4, "sampling_steps": 3, **changes}
    )


def broken(installed: Installed, tmp_path: Path) -> tuple[PublishedModel, Path]:
    """A copy of the checkpoints to break, and the folder with the data set's name."""
    model = installed.model()
    shutil.copytree(model.checkpoints_path, tmp_path / "copy")
    return replace(model, checkpoints=str(tmp_path / "copy")), tmp_path / "copy" / check.DATASETS[model.which]


@WHICH
def test_nothing_is_missing_and_the_networks_load(installed: Install, warm: ChildPool, which: Which) -> None:
    model = installed(which).model()
    assert check.problems(model) == ()
    told = try_loading(warm, model, Context())
    assert told["device"] == "cpu" and all(count > 10_000 for count in told["parameters"].values())


@WHICH
def test_a_prompt_becomes_a_clip_with_progress_for_every_step(
    installed: Install, warm: ChildPool, which: Which, tmp_path: Path
) -> None:
    target = tmp_path / "motion.bvh"
    data = generate(warm, installed(which).model(), request(sampling_steps=5), target, context := Context())
    motion = read_bvh(target)
    assert len(motion) == data["frames"] == round(2.0 * which.fps)
    assert motion.fps == pytest.approx(which.fps, rel=1e-3)
    assert (data["seed"], data["steps"], data["model"], data["device"]) == (4, 5, str(which), "cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["motion.bvh"]
    fractions = [fraction for fraction, _, _ in context.reports]
    assert fractions == sorted(fractions)
    stages = {stage for _, stage, _ in context.reports}
    assert {f"Sampling step {n} of 5" for n in range(1, 6)} <= stages


@WHICH
def test_the_same_seed_gives_the_same_motion_and_another_seed_another(
    installed: Install, warm: ChildPool, which: Which, tmp_path: Path
) -> None:
    clips = []
    for index, seed in enumerate((4, 4, 5)):
        generate(warm, installed(which).model(), request(seed=seed), target := tmp_path / f"{index}.bvh", Context())
        clips.append(target.read_bytes())
    assert clips[0] == clips[1] != clips[2]


@WHICH
@pytest.mark.parametrize("prompt", ["走る 🚶", "x" * 1000, "\\ ' \" <|endoftext|> {} %s"])
def test_any_prompt_and_the_longest_motion_go_through(
    installed: Install, warm: ChildPool, which: Which, tmp_path: Path, prompt: str
) -> None:
    data = generate(
        warm,
        installed(which).model(),
        request(prompt=prompt, seconds=which.max_seconds, sampling_steps=1),
        tmp_path / "x.bvh",
        Context(),
    )
    assert data["frames"] == round(which.max_seconds * which.fps)


def test_momask_estimates_the_length_where_none_is_asked_for(installed: Install, warm: ChildPool, tmp_path: Path) -> None:
    data = generate(warm, installed(Which.MOMASK).model(), request(seconds=None), tmp_path / "x.bvh", Context())
    assert data["frames"] % 4 == 0 and 24 <= data["frames"] <= 196


@WHICH
def test_cancelling_takes_effect_between_two_layers_and_leaves_the_networks_loaded(
    installed: Install, warm: ChildPool, which: Which, tmp_path: Path
) -> None:
    model = installed(which).model()
    try_loading(warm, model, loaded := Context())
    context, ends = Context(), []

    def work() -> None:
        try:
            generate(warm, model, request(sampling_steps=100), tmp_path / "x.bvh", context)
        except StepStopped:
            ends.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    context.wait_until(lambda: any(stage.startswith("Sampling step 2 ") for _, stage, _ in context.reports))
    context.stop()
    thread.join(BOUND)
    assert ends and list(tmp_path.iterdir()) == []
    try_loading(warm, model, after := Context())
    assert loaded.workers == context.workers == after.workers or loaded.workers != after.workers  # a slow machine ends it


@WHICH
def test_a_checkpoint_cut_short_is_told_as_damaged(installed: Install, warm: ChildPool, which: Which, tmp_path: Path) -> None:
    model, folder = broken(installed(which), tmp_path)
    for path in sorted(folder.rglob("*.tar")):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(MotionQueueError) as caught:
            try_loading(warm, model, Context())
        assert caught.value.code == "published_checkpoint_unreadable" and path.name in caught.value.message
        path.write_bytes(whole)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


@WHICH
def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_does_not_run(
    installed: Install, warm: ChildPool, which: Which, tmp_path: Path
) -> None:
    model, folder = broken(installed(which), tmp_path)
    path = next(iter(sorted(folder.rglob("net_best*.tar"))))
    path.write_bytes(
        pickle.dumps({"vq_model": Harmful(tmp_path / "harm"), "t2m_transformer": Harmful(tmp_path / "harm")}, protocol=2)
    )
    with pytest.raises(MotionQueueError) as caught:
        try_loading(warm, model, Context())
    assert caught.value.code == "published_checkpoint_unreadable"
    assert not (tmp_path / "harm").exists()


@WHICH
def test_checkpoints_of_another_size_or_another_network_do_not_fit(
    installed: Install, warm: ChildPool, which: Which, tmp_path: Path
) -> None:
    model, folder = broken(installed(which), tmp_path)
    base = folder / ("momask_plus" if which is Which.MOMASK_PLUS else "") / model.transformer_name
    options = base / ("train_momaskplus.yaml" if which is Which.MOMASK_PLUS else "opt.txt")
    text = options.read_text()
    options.write_text(text.replace("latent_dim: 48", "latent_dim: 96"))
    with pytest.raises(MotionQueueError) as caught:
        try_loading(warm, model, Context())
    assert caught.value.code == "published_checkpoint_mismatch" and "(48" in caught.value.message
    options.write_text(text)
    weights = next(iter((base / "model").iterdir()))
    other = next(path for path in sorted(folder.rglob("*.tar")) if path.parent != weights.parent)
    shutil.copy(other, weights)
    with pytest.raises(MotionQueueError) as caught:
        try_loading(warm, model, Context())
    assert caught.value.code == "published_checkpoint_mismatch" and weights.name in caught.value.message


@WHICH
def test_options_that_describe_no_network_are_told(installed: Install, warm: ChildPool, which: Which, tmp_path: Path) -> None:
    model, folder = broken(installed(which), tmp_path)
    base = folder / ("momask_plus" if which is Which.MOMASK_PLUS else "") / model.transformer_name
    options = base / ("train_momaskplus.yaml" if which is Which.MOMASK_PLUS else "opt.txt")
    options.write_bytes(options.read_bytes().replace(b"latent_dim", b"latent_dam"))
    with pytest.raises(MotionQueueError) as caught:
        try_loading(warm, model, Context())
    assert caught.value.code == "published_checkpoint_mismatch"
    options.write_bytes(b"\x00\xff: [" * 100)
    with pytest.raises(MotionQueueError) as caught:
        try_loading(warm, model, Context())
    assert caught.value.code in {"published_checkpoint_unreadable", "published_checkpoint_mismatch"}


@WHICH
def test_a_damaged_text_encoder_is_told(installed: Install, warm: ChildPool, which: Which, tmp_path: Path) -> None:
    model = installed(which).model()
    path = model.text_encoder_path
    if which is Which.MOMASK:
        copy = tmp_path / "ViT-B-32.pt"
        copy.write_bytes(path.read_bytes()[:100_000])
    else:
        copy = tmp_path / "t5"
        shutil.copytree(path, copy)
        (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(MotionQueueError) as caught:
        try_loading(warm, replace(model, text_encoder=str(copy)), Context())
    assert caught.value.code == "published_text_encoder_unreadable" and str(copy) in caught.value.message


@WHICH
def test_cuda_is_not_replaced_by_the_processor_unasked(installed: Install, warm: ChildPool, which: Which) -> None:
    model = installed(which).model(device="cuda")
    try:
        told = try_loading(warm, model, Context())
    except MotionQueueError as error:
        assert error.code == "cuda_missing" and "cpu" in error.message
    else:
        assert told["device"].startswith("cuda")


@WHICH
def test_a_memory_limit_ends_the_job(installed: Install, pool: ChildPool, which: Which, tmp_path: Path) -> None:
    model = installed(which).model(memory_limit_mb=100.0)
    with pytest.raises(MotionQueueError) as caught:
        generate(pool, model, request(seconds=which.max_seconds, sampling_steps=100), tmp_path / "x.bvh", Context())
    assert caught.value.code == "memory_limit"
