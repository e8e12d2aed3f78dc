# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints with random weights in the published layouts, made by the networks of the checkouts themselves.

Run in the Python that a checkout runs in: `make_checkpoints.py momask|momask++ CHECKOUT OUT small|published`. Writes under OUT
the folder that the model's option `checkpoints` names, and the text encoder beside it (clip/ViT-B-32.pt or t5/).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

SENTENCES = [
    f"a person {verb} {way} {place}"
    for verb in ("walks", "runs", "jumps", "turns", "waves", "sits", "kicks", "dances", "crawls", "climbs", "bows", "steps")
    for way in ("slowly", "quickly", "happily", "sadly", "forward", "backward", "left", "right", "twice", "again")
    for place in ("in a circle", "up the stairs", "over a box", "with both hands", "on one leg", "and then stops", "like a robot")
]
MOMASK_NAMES = {
    "vq": "rvq_nq6_dc512_nc512_noshare_qdp0.2",
    "tokens": "t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns",
    "residual": "tres_nlayer8_ld384_ff1024_rvq6ns_cdp0.2_sw",
}
PLUS_NAMES = {
    "vq": "hrvq_nq2_296_nb2048_fk0_gl1.5_ex2_ema_attn",
    "tokens": "momaskplus_hrvq3_nlayer8_cdp0.1_ca_bm",
    "refine": "gmr_d292",
}


def save(torch: Any, path: Path, key: str, network: Any, **more: Any) -> None:
    """A training checkpoint as both projects write it: weights, optimiser, schedule and counters."""
    weights = {k: v for k, v in network.state_dict().items() if not k.startswith("clip_model.")}
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=2e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[50_000], gamma=0.1)
    state = {key: type(network.state_dict())(weights), f"opt_{key}": optimiser.state_dict(), "scheduler": schedule.state_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**state, "ep": 12, "total_it": 3456, **more}, str(path))


def options(path: Path, values: dict[str, Any]) -> None:
    lines = [f"{key}: {value}" for key, value in sorted(values.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join(["------------ Options -------------", *lines, "-------------- End ----------------", ""]), encoding="utf-8"
    )


def statistics(folder: Path, width: int, mean: np.ndarray | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "mean.npy", np.zeros(width, np.float32) if mean is None else mean.astype(np.float32))
    np.save(folder / "std.npy", np.full(width, 0.05, np.float32))


def momask(checkout: Path, out: Path, small: bool) -> None:
    import clip  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from models.mask_transformer.transformer import MaskTransformer, ResidualTransformer  # noqa: PLC0415
    from models.vq.model import RVQVAE, LengthEstimator  # noqa: PLC0415
    from utils.get_opt import get_opt  # noqa: PLC0415

    torch.manual_seed(1)
    width, depth, heads = (64, 1, 2) if small else (768, 12, 8)
    text = clip.model.CLIP(
        embed_dim=512, image_resolution=32 if small else 224, vision_layers=depth, vision_width=width, vision_patch_size=32,
        context_length=77, vocab_size=49408, transformer_width=64 if small else 512, transformer_heads=heads if small else 8,
        transformer_layers=depth,
    ).eval()  # fmt: skip
    if not small:
        clip.model.convert_weights(text)  # the published file holds half precision
        text = text.float()
    archive = out / "clip" / "ViT-B-32.pt"
    archive.parent.mkdir(parents=True, exist_ok=True)
    side = 32 if small else 224
    traced = torch.jit.trace(text, (torch.zeros(1, 3, side, side), torch.zeros(1, 77, dtype=torch.int)), check_trace=False)
    traced.save(str(archive))

    root = out / "checkpoints" / "t2m"
    shared = {"checkpoints_dir": "./checkpoints", "dataset_name": "t2m", "is_train": True, "gpu_id": 0, "seed": 3407}
    vq = {
        "code_dim": 512, "nb_code": 512, "mu": 0.99, "down_t": 2, "stride_t": 2, "width": 64 if small else 512,
        "depth": 1 if small else 3, "dilation_growth_rate": 3, "output_emb_width": 512, "vq_act": "relu", "vq_norm": None,
        "num_quantizers": 6, "shared_codebook": False, "quantize_dropout_prob": 0.2, "name": MOMASK_NAMES["vq"],
    }  # fmt: skip
    size = {
        "latent_dim": 48 if small else 384, "n_heads": 6, "n_layers": 2 if small else 8, "ff_size": 96 if small else 1024,
        "dropout": 0.2, "max_motion_length": 196, "unit_length": 4, "force_mask": False, "cond_drop_prob": 0.1,
        "vq_name": MOMASK_NAMES["vq"], "share_weight": True,
    }  # fmt: skip
    for part, values in (("vq", vq), ("tokens", size), ("residual", {**size, "cond_drop_prob": 0.2})):
        options(root / MOMASK_NAMES[part] / "opt.txt", {**shared, **values, "name": MOMASK_NAMES[part]})

    def read(part: str) -> Any:
        opt = get_opt(str(root / MOMASK_NAMES[part] / "opt.txt"), torch.device("cpu"))
        opt.num_tokens, opt.num_quantizers, opt.code_dim = 512, 6, 512
        return opt

    opt = read("vq")
    decoder = RVQVAE(
        opt, 263, opt.nb_code, opt.code_dim, opt.output_emb_width, opt.down_t, opt.stride_t, opt.width, opt.depth,
        opt.dilation_growth_rate, opt.vq_act, opt.vq_norm,
    )  # fmt: skip
    for layer in decoder.quantizer.layers:
        layer.codebook.normal_()
    save(torch, root / opt.name / "model" / "net_best_fid.tar", "vq_model", decoder)
    # Around the mean stands a body in a T-pose, so that the random motion has bones.
    statistics(root / opt.name / "meta", 263, standing_263())
    for part, network, key, file, more in (
        ("tokens", MaskTransformer, "t2m_transformer", "latest.tar", {}),
        (
            "residual",
            ResidualTransformer,
            "res_transformer",
            "net_best_fid.tar",
            {"shared_codebook": False, "share_weight": True},
        ),
    ):
        opt = read(part)
        made = network(
            code_dim=512, cond_mode="text", latent_dim=opt.latent_dim, ff_size=opt.ff_size, num_layers=opt.n_layers,
            num_heads=opt.n_heads, dropout=opt.dropout, clip_dim=512, cond_drop_prob=opt.cond_drop_prob,
            clip_version=str(archive), opt=opt, **more,
        )  # fmt: skip
        save(torch, root / opt.name / "model" / file, key, made)
    estimator = LengthEstimator(512, 50)
    save(torch, root / "length_estimator" / "model" / "finest.tar", "estimator", estimator, epoch=3)


def momask_plus(checkout: Path, out: Path, small: bool) -> None:
    import torch  # noqa: PLC0415
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415
    from config.load_config import load_config  # noqa: PLC0415
    from model.cnn_networks import GlobalRegressor  # noqa: PLC0415
    from model.transformer.transformer import MoMaskPlus  # noqa: PLC0415
    from model.vq.rvq_model import HRVQVAE  # noqa: PLC0415

    torch.manual_seed(1)
    t5(torch, out / "t5", small)
    root = out / "checkpoint_dir" / "snapmogen"
    vq_dir = root / "vq" / PLUS_NAMES["vq"]
    tokens_dir = root / "momask_plus" / PLUS_NAMES["tokens"]
    refine_dir = root / "gmr" / PLUS_NAMES["refine"]
    data = {"name": "snapmogen", "joint_num": 24, "fps": 30, "max_motion_length": 320, "max_text_length": 120}
    configs: dict[Path, dict[str, Any]] = {
        vq_dir / "residual_vqvae.yaml": {
            "exp": {"root_ckpt_dir": "./checkpoint_dir", "name": PLUS_NAMES["vq"]},
            "data": {**data, "dim_pose": 296, "unit_length": 4},
            "quantizer": {
                "code_dim": 512, "nb_code": 2048, "scales": [2, 1], "quantize_dropout_prob": 0, "num_quantizers": 4,
                "shared_codebook": False, "share_quant_resi": 4, "quant_resi": 0, "start_drop": -1, "version": "v2", "mu": 0.99,
            },
            "model": {
                "down_t": 2, "stride_t": 2, "width": 64 if small else 512, "depth": 1 if small else 3, "dilation_growth_rate": 3,
                "vq_act": "relu", "use_attn": True, "vq_norm": "None",
            },
        },
        tokens_dir / "train_momaskplus.yaml": {
            "exp": {"root_ckpt_dir": "./checkpoint_dir", "name": PLUS_NAMES["tokens"], "device": "cuda:2"},
            "vq_name": PLUS_NAMES["vq"],
            "vq_ckpt": "net_best_mpjpe.tar",
            "data": {**data, "dim_pose": 296, "unit_length": 8},
            "text_embedder": {"dim_embed": 64 if small else 768, "version": "google/t5-v1_1-base"},
            "model": {
                "latent_dim": 48 if small else 384, "ff_size": 96 if small else 1024, "n_layers": 2 if small else 8,
                "n_heads": 6, "dropout": 0.2, "use_toa_pe": False, "use_lvl_pe": False, "fuse_mode": "cross_attention",
            },
            "training": {"cond_drop_prob": 0.1, "pert_prob": 0.1},
        },
        refine_dir / "gmr.yaml": {
            "exp": {"root_ckpt_dir": "./checkpoint_dir", "name": PLUS_NAMES["refine"]},
            "data": {**data, "dim_pose": 292, "unit_length": 4},
        },
    }  # fmt: skip
    for path, values in configs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
    vq_cfg = load_config(str(vq_dir / "residual_vqvae.yaml"))
    size = vq_cfg.model
    decoder = HRVQVAE(
        vq_cfg, 296, size.down_t, size.stride_t, size.width, size.depth, size.dilation_growth_rate, size.vq_act, size.use_attn,
        size.vq_norm,
    )  # fmt: skip
    decoder.quantizer.codebook.normal_()
    save(torch, vq_dir / "model" / "net_best_mpjpe.tar", "vq_model", decoder)
    cfg = load_config(str(tokens_dir / "train_momaskplus.yaml"))
    cfg.vq = vq_cfg.quantizer
    cfg.text_embedder.version = str(out / "t5")
    tokens = MoMaskPlus(
        code_dim=512, latent_dim=cfg.model.latent_dim, ff_size=cfg.model.ff_size, num_layers=cfg.model.n_layers,
        num_heads=cfg.model.n_heads, dropout=0.2, text_dim=cfg.text_embedder.dim_embed, cond_drop_prob=0.1,
        device=torch.device("cpu"), cfg=cfg, full_length=80, scales=vq_cfg.quantizer.scales,
    )  # fmt: skip
    save(torch, tokens_dir / "model" / "net_best_fid.tar", "t2m_transformer", tokens)
    save(torch, refine_dir / "model" / "best.tar", "regressor", GlobalRegressor(dim_in=290, dim_latent=512, dim_out=2))
    # The rotations' mean is that of an upright body: its first two columns are X and Y.
    mean = np.zeros(296)
    mean[3] = 48.6
    mean[4:148] = np.tile([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 24)
    statistics(root / "meta_data", 296, mean)


def t5(torch: Any, folder: Path, small: bool) -> None:
    """A T5 v1.1 encoder with random weights and a word list of its own, in the files that the hub has."""
    import sentencepiece  # noqa: PLC0415
    from transformers import T5Config, T5EncoderModel  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_prefix=str(folder / "spiece"), vocab_size=120, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "spiece.vocab").unlink()
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4} if small else {
        "d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12,
    }  # fmt: skip
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **sizes)
    T5EncoderModel(config).save_pretrained(str(folder), safe_serialization=True)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": 100}
        ),
        encoding="utf-8",
    )


def standing_263() -> np.ndarray:
    """The mean of HumanML3D features around which a random motion has bones: a T-pose."""
    places = np.array(
        [
            [0.08, -0.08, 0], [-0.08, -0.08, 0], [0, 0.11, -0.02], [0.08, -0.47, 0], [-0.08, -0.47, 0], [0, 0.24, -0.02],
            [0.08, -0.87, 0], [-0.08, -0.87, 0], [0, 0.30, 0], [0.08, -0.935, 0.13], [-0.08, -0.935, 0.13], [0, 0.51, -0.04],
            [0.075, 0.42, -0.03], [-0.075, 0.42, -0.03], [0, 0.59, 0], [0.17, 0.45, -0.04], [-0.17, 0.45, -0.04],
            [0.43, 0.45, -0.04], [-0.43, 0.45, -0.04], [0.68, 0.45, -0.04], [-0.68, 0.45, -0.04],
        ]
    )  # fmt: skip
    mean = np.zeros(263)
    mean[3] = 0.955
    mean[4:67] = (places + np.array([0, 0.955, 0])).ravel()
    return mean


def main() -> None:
    which, checkout, out, size = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve(), sys.argv[4]
    sys.path[0] = str(checkout)
    (momask if which == "momask" else momask_plus)(checkout, out, size == "small")


if __name__ == "__main__":
    main()
