# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a user's checkout of MoMask (EricGuo5513/momask-codes): builds its networks, loads its checkpoints, samples features.

Runs in the user's own Python, where the checkout's folder is on sys.path; nothing of the checkout is part of this package.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, NamedTuple  # noqa: UP035 - evaluated in an old Python

import numpy as np

from ...motion.features import HUMANML3D_FPS, HUMANML3D_WIDTH
from . import own_torch
from .own_torch import PublishedError

Values = Dict[str, Any]  # noqa: UP006

DATASET = "t2m"  # HumanML3D's name there
_UNIT = 4  # frames of one token
_MIN_TOKENS, _MAX_TOKENS = 6, 49
_TEXT_WIDTH = 512  # of CLIP ViT-B/32
_LENGTHS = 50  # classes of the length estimator, one a token
_RESIDUAL_GUIDANCE = 5.0


class Networks(NamedTuple):
    torch: Any
    device: Any
    vq: Any
    tokens: Any
    residual: Any
    lengths: Any
    mean: Any
    std: Any


_kept: Dict[str, Networks] = {}  # noqa: UP006 - of the last job


def check(arguments: Values, job: Any) -> Values:
    """Load everything and say what it is. Arguments as `generate`'s, without those of one motion."""
    networks = _networks(arguments, job)
    sizes = {
        name: sum(p.numel() for key, p in network.named_parameters() if not key.startswith("clip_model."))
        for name, network in (("vq", networks.vq), ("tokens", networks.tokens), ("residual", networks.residual))
    }
    return {"parameters": sizes, "device": str(networks.device), "torch": str(networks.torch.__version__)}


def generate(arguments: Values, job: Any) -> Values:
    """Sample one motion and write its features [F, 263] to `target` (.npz, "features").

    Arguments: checkpoints, transformer, residual, text_encoder (the CLIP file), device; prompt, frames (0: estimated), steps,
    guidance, seed, target.
    """
    networks = _networks(arguments, job)
    torch = networks.torch
    frames, steps = int(arguments["frames"]), int(arguments["steps"])
    texts = [str(arguments["prompt"])]
    passes = 2 * steps + 2 * (int(networks.residual.opt.num_quantizers) - 1)

    def passed(count: int) -> None:
        step = min(steps, count // 2 + 1)
        stage = f"Sampling step {step} of {steps}" if count < 2 * steps else "Sampling details"
        job.progress(0.1 + 0.85 * count / passes, stage)

    own_torch.set_seed(torch, int(arguments["seed"]))
    counted = [networks.tokens.seqTransEncoder, networks.residual.seqTransEncoder]
    with own_torch.memory_errors(torch, networks.device), torch.no_grad(), own_torch.watching(torch, counted, passed, job.check):
        job.progress(0.1, "Reading the prompt")
        if frames:
            count = min(_MAX_TOKENS, max(_MIN_TOKENS, -(-frames // _UNIT)))
        else:
            chances = torch.softmax(networks.lengths(networks.tokens.encode_text(texts)), dim=-1)
            count = min(_MAX_TOKENS, max(_MIN_TOKENS, int(torch.multinomial(chances, 1).item())))
            frames = count * _UNIT
        lengths = torch.tensor([count], dtype=torch.long, device=networks.device)
        ids = networks.tokens.generate(
            texts,
            lengths.clone(),
            timesteps=steps,
            cond_scale=float(arguments["guidance"]),
            temperature=1.0,
            topk_filter_thres=0.9,
        )
        ids = networks.residual.generate(ids, texts, lengths.clone(), temperature=1.0, cond_scale=_RESIDUAL_GUIDANCE)
        job.progress(0.95, "Decoding")
        features = networks.vq.forward_decoder(ids)[0].detach().cpu().numpy().astype(np.float64)
    features = (features * networks.std + networks.mean)[:frames]
    np.savez(str(arguments["target"]), features=features.astype(np.float32))
    return {"frames": len(features), "fps": HUMANML3D_FPS, "device": str(networks.device), "torch": str(torch.__version__)}


def _networks(arguments: Values, job: Any) -> Networks:
    key = own_torch.identity(arguments, ("checkpoints", "transformer", "residual", "text_encoder", "device"))
    if key not in _kept:
        _kept.clear()  # before the new ones take memory
        _kept[key] = _load(arguments, job)
    return _kept[key]


def _load(arguments: Values, job: Any) -> Networks:
    job.progress(0.0, "Loading torch")
    torch = own_torch.import_torch()
    device = own_torch.choose_device(torch, arguments["device"])
    clip = own_torch.import_module("clip", "OpenAI's clip")
    transformers = own_torch.import_module(
        "models.mask_transformer.transformer", "The checkout's models.mask_transformer.transformer"
    )
    autoencoders = own_torch.import_module("models.vq.model", "The checkout's models.vq.model")
    options = own_torch.import_module("utils.get_opt", "The checkout's utils.get_opt")
    folder = Path(arguments["checkpoints"]) / DATASET
    encoder = str(arguments["text_encoder"])
    _share(clip)

    def read_options(name: str) -> Any:
        path = folder / name / "opt.txt"
        try:
            return options.get_opt(str(path), device)
        except FileNotFoundError as error:
            raise PublishedError(
                "published_checkpoint_missing",
                f"There is no {path}. Download the published checkpoints again.",
                {"checkpoints": str(path)},
            ) from error
        except (ValueError, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise PublishedError(
                "published_checkpoint_unreadable",
                f"{path} is no options file of MoMask ({type(error).__name__}: {error}). Download it again.",
                {"checkpoints": str(path)},
            ) from error

    with own_torch.memory_errors(torch, device), own_torch.described(folder):
        tokens_opt = read_options(arguments["transformer"])
        vq_name = own_torch.plain_name(tokens_opt.vq_name, folder / arguments["transformer"] / "opt.txt")
        vq_opt = read_options(vq_name)
        residual_opt = read_options(arguments["residual"])
        vq_opt.dim_pose = HUMANML3D_WIDTH
        for opt in (tokens_opt, residual_opt):
            opt.num_tokens, opt.num_quantizers, opt.code_dim = vq_opt.nb_code, vq_opt.num_quantizers, vq_opt.code_dim
        if residual_opt.vq_name != tokens_opt.vq_name:
            raise PublishedError(
                "published_checkpoint_mismatch",
                f"The two transformers were trained on different tokens: {tokens_opt.vq_name} and {residual_opt.vq_name}. "
                "Take both from the same download.",
                {"checkpoints": str(folder)},
            )
        job.progress(0.02, "Loading the decoder")
        vq = autoencoders.RVQVAE(
            vq_opt, HUMANML3D_WIDTH, vq_opt.nb_code, vq_opt.code_dim, vq_opt.output_emb_width, vq_opt.down_t, vq_opt.stride_t,
            vq_opt.width, vq_opt.depth, vq_opt.dilation_growth_rate, vq_opt.vq_act, vq_opt.vq_norm,
        )  # fmt: skip
        path = folder / vq_name / "model" / "net_best_fid.tar"
        own_torch.fill(vq, own_torch.read_checkpoint(torch, path, ("vq_model", "net")), path)

        def sizes(opt: Any) -> Values:
            return {
                "code_dim": vq_opt.code_dim, "cond_mode": "text", "latent_dim": opt.latent_dim, "ff_size": opt.ff_size,
                "num_layers": opt.n_layers, "num_heads": opt.n_heads, "dropout": opt.dropout, "clip_dim": _TEXT_WIDTH,
                "cond_drop_prob": opt.cond_drop_prob, "clip_version": encoder, "opt": opt,
            }  # fmt: skip

        job.progress(0.03, "Loading CLIP")
        with own_torch.text_encoder("CLIP ViT-B/32", encoder):
            clip.load(encoder, device="cpu", jit=False)
        job.progress(0.06, "Loading the transformers")
        tokens = transformers.MaskTransformer(**sizes(tokens_opt))
        path = folder / arguments["transformer"] / "model" / "latest.tar"
        weights = own_torch.read_checkpoint(torch, path, ("t2m_transformer", "trans"))
        own_torch.fill(tokens, weights, path, may_miss="clip_model.")
        residual = transformers.ResidualTransformer(
            shared_codebook=vq_opt.shared_codebook, share_weight=residual_opt.share_weight, **sizes(residual_opt)
        )
        path = folder / arguments["residual"] / "model" / "net_best_fid.tar"
        own_torch.fill(residual, own_torch.read_checkpoint(torch, path, ("res_transformer",)), path, may_miss="clip_model.")
        lengths = autoencoders.LengthEstimator(_TEXT_WIDTH, _LENGTHS)
        path = folder / "length_estimator" / "model" / "finest.tar"
        own_torch.fill(lengths, own_torch.read_checkpoint(torch, path, ("estimator",)), path)
        mean, std = own_torch.read_statistics(folder / vq_name / "meta", HUMANML3D_WIDTH)
        for network in (vq, tokens, residual, lengths):
            network.to(device)
    job.log("info", f"MoMask is loaded on {device} with torch {torch.__version__}, Python {sys.version.split()[0]}.")
    return Networks(torch, device, vq, tokens, residual, lengths, mean, std)


def _share(clip: Any) -> None:
    """Let `clip.load` give the same model again: both transformers load it, 600 MB each."""
    if hasattr(clip.load, "shares"):
        clip.load.shares.clear()
        return
    plain, loaded = clip.load, {}

    def load(name: str, *arguments: Any, **options: Any) -> Any:
        if name not in loaded:
            loaded[name] = plain(name, *arguments, **options)
        return loaded[name]

    load.shares = loaded  # type: ignore[attr-defined]
    clip.load = load


ENTRIES = {"check": check, "generate": generate}
