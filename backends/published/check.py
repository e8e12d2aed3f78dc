# SPDX-License-Identifier: GPL-3.0-or-later
"""What a published model lacks on this machine: its files, and the modules of the user's Python. Loads no network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ...queue.errors import MotionQueueError
from .model import PublishedModel, Which

MAIN = Path(__file__).resolve().parent / "own_main.py"
DATASETS = {Which.MOMASK: "t2m", Which.MOMASK_PLUS: "snapmogen"}
SKELETON = Path("utils") / "T_Pose.bvh"  # MoMask++'s 24 joints, in the checkout
_PROBE_TIMEOUT = 60.0  # seconds; a Python on a network drive takes its time

_MARKS = {  # files that make a folder the repository, and where to get it
    Which.MOMASK: (
        ("models/mask_transformer/transformer.py", "models/vq/model.py", "utils/get_opt.py"),
        "github.com/EricGuo5513/momask-codes",
    ),
    Which.MOMASK_PLUS: (
        ("model/transformer/transformer.py", "model/vq/rvq_model.py", "config/load_config.py", SKELETON.as_posix()),
        "github.com/snap-research/SnapMoGen",
    ),
}
_MODULES = {
    Which.MOMASK: ("torch", "numpy", "clip", "einops", "tqdm"),
    Which.MOMASK_PLUS: ("torch", "numpy", "transformers", "sentencepiece", "einops", "yaml"),
}


def problems(model: PublishedModel, *, start_python: bool = True) -> tuple[MotionQueueError, ...]:
    """Everything that is missing, in the order in which a person would put it right; empty when the model can be tried.

    Codes: published_python_missing, published_modules_missing, published_checkout_missing, published_checkout_foreign,
    published_checkpoint_missing, published_text_encoder_missing. With `start_python` the interpreter is started once and asked
    for its modules, which takes a tenth of a second.
    """
    found: list[MotionQueueError] = [*_python(model, start_python), *_checkout(model), *_checkpoints(model)]
    if not _has_text_encoder(model):
        found.append(_no_text_encoder(model))
    return tuple(found)


def require(model: PublishedModel) -> None:
    """Raise the first of `problems` that can be seen without starting anything."""
    for problem in problems(model, start_python=False):
        raise problem


def interpreter(model: PublishedModel) -> str:
    """The path of the user's Python. `MotionQueueError` published_python_missing."""
    path = shutil.which(str(Path(model.python).expanduser()))
    if path is None:
        raise MotionQueueError(
            "published_python_missing",
            f"There is no Python that can be started at {model.python}. Give the path of the interpreter in which "
            f"{model.which.label} runs, such as …/envs/momask/bin/python.",
            details={"python": "cannot be started"},
        )
    return path


def _python(model: PublishedModel, start: bool) -> Iterator[MotionQueueError]:
    try:
        path = interpreter(model)
    except MotionQueueError as error:
        yield error
        return
    if not start:
        return
    try:
        done = subprocess.run(
            [path, "-E", str(MAIN), "--probe", *_MODULES[model.which]],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        answer, last = None, str(error)
    else:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    if not isinstance(answer, dict) or not isinstance(answer.get("missing"), list):
        yield MotionQueueError(
            "published_python_missing",
            f"{path} does not answer as a Python of 3.7 or newer does: {last[:300]}. Give the path of another interpreter.",
            details={"python": "does not answer"},
        )
    elif answer["missing"]:
        names = ", ".join(map(str, answer["missing"]))
        yield MotionQueueError(
            "published_modules_missing",
            f"{path} (Python {answer.get('python')}) has no {names}. Install what the requirements of {model.which.label} name "
            "into it, or give the path of the Python that has them.",
            details={"python": f"no {names}"},
        )


def _checkout(model: PublishedModel) -> Iterator[MotionQueueError]:
    folder = Path(model.checkout).expanduser()
    marks, source = _MARKS[model.which]
    if not folder.is_dir():
        yield MotionQueueError(
            "published_checkout_missing",
            f"There is no folder {folder}. Clone https://{source} and give its path.",
            details={"checkout": "missing"},
        )
        return
    absent = [mark for mark in marks if not (folder / mark).is_file()]
    if absent:
        yield MotionQueueError(
            "published_checkout_foreign",
            f"{folder} is no checkout of {model.which.label}: it has no {absent[0]}. "
            f"Give the folder that https://{source} was cloned into.",
            details={"checkout": f"no {absent[0]}"},
        )


def _checkpoints(model: PublishedModel) -> Iterator[MotionQueueError]:
    folder = model.checkpoints_path / DATASETS[model.which]
    absent = [path for path in _files(model, folder) if not path.is_file()]
    if absent:
        more = f", and {len(absent) - 1} more" if len(absent) > 1 else ""
        yield MotionQueueError(
            "published_checkpoint_missing",
            f"There is no {absent[0]}{more}. Download the published checkpoints (prepare/download_models.sh in the checkout), "
            f"and give the folder that has {DATASETS[model.which]}/ in it."
            + (" mean.npy and std.npy come with the data set, in meta_data." if absent[0].suffix == ".npy" else ""),
            details={"checkpoints": str(absent[0])},
        )


def _files(model: PublishedModel, folder: Path) -> Iterator[Path]:
    """Every file that is read. Which decoder belongs to a transformer stands in the transformer's options."""
    if model.which is Which.MOMASK:
        options = folder / model.transformer_name / "opt.txt"
        yield from (options, folder / model.transformer_name / "model" / "latest.tar")
        yield from (folder / model.residual_name / name for name in ("opt.txt", "model/net_best_fid.tar"))
        yield folder / "length_estimator" / "model" / "finest.tar"
        decoder = folder / _named(options, "vq_name", "rvq_nq6_dc512_nc512_noshare_qdp0.2")
        yield from (decoder / name for name in ("opt.txt", "model/net_best_fid.tar", "meta/mean.npy", "meta/std.npy"))
        return
    options = folder / "momask_plus" / model.transformer_name / "train_momaskplus.yaml"
    yield from (options, folder / "momask_plus" / model.transformer_name / "model" / "net_best_fid.tar")
    decoder = folder / "vq" / _named(options, "vq_name", "hrvq_nq2_296_nb2048_fk0_gl1.5_ex2_ema_attn")
    yield from (decoder / "residual_vqvae.yaml", decoder / "model" / _named(options, "vq_ckpt", "net_best_mpjpe.tar"))
    yield from (folder / "gmr" / model.refinement_name / name for name in ("gmr.yaml", "model/best.tar"))
    yield from (model.statistics_path / name for name in ("mean.npy", "std.npy"))


def _named(options: Path, key: str, usual: str) -> str:
    """A folder or file as the transformer's options have it; the published one where they cannot be read."""
    try:
        text = options.read_text(encoding="utf-8", errors="replace")[:100_000]
    except OSError:
        return usual  # that file is reported as missing
    found = re.search(rf"(?m)^{key}: *['\"]?([\w.+-]+)", text)
    return found[1] if found and found[1] not in {".", ".."} else usual


def _has_text_encoder(model: PublishedModel) -> bool:
    path = model.text_encoder_path
    if model.which is Which.MOMASK:
        return path.is_file()
    weights = ("model.safetensors", "pytorch_model.bin")
    words = ("spiece.model", "tokenizer.json")
    return (path / "config.json").is_file() and all(any((path / n).is_file() for n in names) for names in (weights, words))


def _no_text_encoder(model: PublishedModel) -> MotionQueueError:
    path = model.text_encoder_path
    what = (
        f"CLIP's weights are not at {path}. Download ViT-B-32.pt (clip.load('ViT-B/32') does it once) and give its path."
        if model.which is Which.MOMASK
        else f"{path} has no T5 in it: config.json, spiece.model or tokenizer.json, and the weights are needed. "
        "Download google/t5-v1_1-base and give its folder."
    )
    return MotionQueueError("published_text_encoder_missing", what, details={"text_encoder": str(path)})
