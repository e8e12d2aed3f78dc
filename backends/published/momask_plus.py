# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a user's checkout of SnapMoGen (snap-research/SnapMoGen): builds MoMask++ and samples features.

Runs in the user's own Python, where the checkout's folder is on sys.path. SnapMoGen's licence is for non-commercial research:
nothing of it is part of this package, and what it makes is bound by it.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple  # noqa: UP035 - evaluated in an old Python

import numpy as np

from ...motion.features import (
    SNAPMOGEN_FPS,
    SNAPMOGEN_STEP,
    SNAPMOGEN_WIDTH,
    Pose,
    bone_offsets,
    encode_snapmogen,
    place_bones,
    snapmogen_pose,
)
from . import own_torch
from .own_torch import PublishedError

Values = Dict[str, Any]  # noqa: UP006

DATASET = "snapmogen"
_UNIT = 8  # frames that the coarser of the two scales knows
_REFINED = slice(3, 292)  # features that the global motion refinement sees beside the turn: all but its own output and contacts
_LATENT = 512  # width of the refinement


class Networks(NamedTuple):
    torch: Any
    device: Any
    vq: Any
    tokens: Any
    refine: Any
    mean: Any
    std: Any
    longest: int  # frames


_kept: Dict[str, Networks] = {}  # noqa: UP006 - of the last job


def check(arguments: Values, job: Any) -> Values:
    """Load everything and say what it is. Arguments as `generate`'s, without those of one motion."""
    networks = _networks(arguments, job)
    parts = (("vq", networks.vq), ("tokens", networks.tokens), ("refine", networks.refine))
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in parts}
    return {"parameters": sizes, "device": str(networks.device), "torch": str(networks.torch.__version__)}


def generate(arguments: Values, job: Any) -> Values:
    """Sample one motion and write its features [F, 296] to `target` (.npz, "features").

    Arguments: checkpoints, transformer, refinement, statistics (the folder of mean.npy, std.npy), text_encoder (the T5 folder),
    device; prompt, frames, steps, guidance, seed, target; offsets (rest offsets [24, 3] of the checkout's
    skeleton).
    """
    networks = _networks(arguments, job)
    torch = networks.torch
    frames, steps = int(arguments["frames"]), int(arguments["steps"])
    # One frame more, which taking the features anew costs.
    count = min(networks.longest, -(-(frames + 1) // _UNIT) * _UNIT)
    lengths = torch.tensor([count], dtype=torch.long, device=networks.device)

    def passed(done: int) -> None:
        job.progress(0.15 + 0.75 * done / steps, f"Sampling step {min(steps, done + 1)} of {steps}")

    own_torch.set_seed(torch, int(arguments["seed"]))
    counted = [networks.tokens.seqTransEncoder]
    with own_torch.memory_errors(torch, networks.device), torch.no_grad(), own_torch.watching(torch, counted, passed, job.check):
        job.progress(0.15, "Reading the prompt")
        ids = networks.tokens.generate(
            [str(arguments["prompt"])], lengths // 4, steps, float(arguments["guidance"]), temperature=1
        )
        job.progress(0.9, "Decoding")
        # A clone: the lengths are counted down in place. What comes is always of the full length.
        decoded = networks.vq.forward_decoder(ids, lengths.clone())[0].detach().cpu().numpy().astype(np.float64)
        features = decoded[:count] * networks.std + networks.mean
        job.progress(0.95, "Refining the path")
        features = _anew(features, arguments)
        normal = (features - networks.mean) / networks.std
        seen = np.concatenate([normal[:, :1], normal[:, _REFINED]], axis=-1)
        step = networks.refine(torch.from_numpy(seen[None]).float().to(networks.device))[0].detach().cpu().numpy()
    features[:, SNAPMOGEN_STEP] = step * networks.std[SNAPMOGEN_STEP] + networks.mean[SNAPMOGEN_STEP]
    features = features[:frames]
    np.savez(str(arguments["target"]), features=features.astype(np.float32))
    return {"frames": len(features), "fps": SNAPMOGEN_FPS, "device": str(networks.device), "torch": str(torch.__version__)}


def _anew(features: Any, arguments: Values) -> Any:
    """The features of the body that these features describe, on fixed bones: what the refinement was trained on."""
    pose = snapmogen_pose(features)
    offsets = bone_offsets(pose, np.asarray(arguments["offsets"], dtype=np.float64))
    places = place_bones(pose.rotations, pose.positions[:, 0], offsets)
    return encode_snapmogen(Pose(pose.rotations, places))


def _networks(arguments: Values, job: Any) -> Networks:
    names = ("checkpoints", "transformer", "refinement", "statistics", "text_encoder", "device")
    key = own_torch.identity(arguments, names)
    if key not in _kept:
        _kept.clear()  # before the new ones take memory
        _kept[key] = _load(arguments, job)
    return _kept[key]


def _load(arguments: Values, job: Any) -> Networks:
    job.progress(0.0, "Loading torch")
    torch = own_torch.import_torch()
    device = own_torch.choose_device(torch, arguments["device"])
    own_torch.import_module("transformers", "transformers")
    transformer = own_torch.import_module("model.transformer.transformer", "The checkout's model.transformer.transformer")
    autoencoder = own_torch.import_module("model.vq.rvq_model", "The checkout's model.vq.rvq_model")
    convolutions = own_torch.import_module("model.cnn_networks", "The checkout's model.cnn_networks")
    configuration = own_torch.import_module("config.load_config", "The checkout's config.load_config")
    folder = Path(arguments["checkpoints"]) / DATASET
    encoder = str(arguments["text_encoder"])

    def read_config(path: Path) -> Any:
        try:
            return configuration.load_config(str(path))
        except FileNotFoundError as error:
            raise PublishedError(
                "published_checkpoint_missing",
                f"There is no {path}. Download the published checkpoints again.",
                {"checkpoints": str(path)},
            ) from error
        except Exception as error:  # yaml's own errors, without importing yaml here
            raise PublishedError(
                "published_checkpoint_unreadable",
                f"{path} is no configuration of MoMask++ ({type(error).__name__}: {str(error)[:200]}). Download it again.",
                {"checkpoints": str(path)},
            ) from error

    with own_torch.memory_errors(torch, device), own_torch.described(folder):
        base = folder / "momask_plus" / arguments["transformer"]
        tokens_cfg = read_config(base / "train_momaskplus.yaml")
        vq_folder = folder / "vq" / own_torch.plain_name(tokens_cfg.vq_name, base)
        vq_cfg = read_config(vq_folder / "residual_vqvae.yaml")
        refine_folder = folder / "gmr" / arguments["refinement"]
        refine_cfg = read_config(refine_folder / "gmr.yaml")
        tokens_cfg.vq = vq_cfg.quantizer
        model = vq_cfg.model
        job.progress(0.02, "Loading the decoder")
        vq = autoencoder.HRVQVAE(
            vq_cfg, vq_cfg.data.dim_pose, model.down_t, model.stride_t, model.width, model.depth, model.dilation_growth_rate,
            model.vq_act, model.use_attn, model.vq_norm,
        )  # fmt: skip
        path = vq_folder / "model" / own_torch.plain_name(tokens_cfg.vq_ckpt, base)
        own_torch.fill(vq, own_torch.read_checkpoint(torch, path, ("vq_model", "model")), path)
        job.progress(0.04, "Loading T5")
        with own_torch.text_encoder("T5", encoder):
            text = transformer.T5TextEncoder(
                device, local_files_only=True, from_pretrained=encoder, model_max_length=tokens_cfg.data.max_text_length
            )
        width = int(text.model.config.d_model)
        if width != tokens_cfg.text_embedder.dim_embed:
            raise PublishedError(
                "published_text_encoder_unreadable",
                f"The T5 in {encoder} gives {width} numbers a word; this model wants {tokens_cfg.text_embedder.dim_embed}. "
                "Take google/t5-v1_1-base.",
                {"text_encoder": encoder},
            )
        job.progress(0.1, "Loading the transformer")
        size = tokens_cfg.model
        with _given(transformer, "T5TextEncoder", text):
            tokens = transformer.MoMaskPlus(
                code_dim=vq_cfg.quantizer.code_dim,
                latent_dim=size.latent_dim,
                ff_size=size.ff_size,
                num_layers=size.n_layers,
                num_heads=size.n_heads,
                dropout=size.dropout,
                text_dim=tokens_cfg.text_embedder.dim_embed,
                cond_drop_prob=tokens_cfg.training.cond_drop_prob,
                device=device,
                cfg=tokens_cfg,
                full_length=tokens_cfg.data.max_motion_length // 4,
                scales=vq_cfg.quantizer.scales,
            )
        path = base / "model" / "net_best_fid.tar"
        own_torch.fill(tokens, own_torch.read_checkpoint(torch, path, ("t2m_transformer",)), path)
        job.progress(0.12, "Loading the refinement")
        refine = convolutions.GlobalRegressor(dim_in=refine_cfg.data.dim_pose - 2, dim_latent=_LATENT, dim_out=2)
        path = refine_folder / "model" / "best.tar"
        own_torch.fill(refine, own_torch.read_checkpoint(torch, path, ("regressor",)), path)
        mean, std = own_torch.read_statistics(Path(arguments["statistics"]), SNAPMOGEN_WIDTH)
        for network in (vq, tokens, refine):
            network.to(device)
    job.log("info", f"MoMask++ is loaded on {device} with torch {torch.__version__}, Python {sys.version.split()[0]}.")
    return Networks(torch, device, vq, tokens, refine, mean, std, int(tokens_cfg.data.max_motion_length))


@contextlib.contextmanager
def _given(module: Any, name: str, made: Any) -> Iterator[None]:
    """While inside, calling `name` of `module` gives what is made already: T5 would be asked for by its name on the hub."""
    original = getattr(module, name)
    setattr(module, name, lambda *_arguments, **_options: made)
    try:
        yield
    finally:
        setattr(module, name, original)


ENTRIES = {"check": check, "generate": generate}
