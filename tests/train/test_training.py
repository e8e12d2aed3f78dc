# SPDX-License-Identifier: GPL-3.0-or-later
"""Training from the folder to the weights, and the weights in numpy and in torch. Needs torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from motion_queue.backends.generate.details import Examples
from motion_queue.backends.generate.network import Networks
from motion_queue.backends.generate.ops import NumpyOps, TorchOps
from motion_queue.backends.generate.weights import Weights, read_weights
from motion_queue.queue.errors import MotionQueueError
from motion_queue.scripts.train import __main__ as command
from motion_queue.scripts.train import data
from motion_queue.scripts.train.config import TINY
from motion_queue.scripts.train.networks import Body
from motion_queue.scripts.train.stages import Norm, TokenStage, VqStage, encoder_input


@pytest.fixture(scope="session")
def trained(pack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert command.main([str(pack_folder), "--out", str(out), "--preset", "tiny", "--threads", "1"]) == 0
    return out


@pytest.fixture(scope="session")
def weights(trained: Path) -> Weights:
    return read_weights(trained / "model.safetensors")


def test_one_command_makes_weights_log_and_curves(trained: Path) -> None:
    assert {"model.safetensors", "curves.png", "vq.jsonl", "refiner.jsonl", "tokens.jsonl"} <= {p.name for p in trained.iterdir()}
    last = json.loads((trained / "tokens.jsonl").read_text("utf-8").splitlines()[-1])
    assert last["step"] == TINY.steps and np.isfinite(last["val_codes"])


def test_a_stopped_and_resumed_run_makes_the_same_weights(pack_folder: Path, trained: Path, tmp_path: Path) -> None:
    for until in ("vq", "refiner", "tokens"):
        command.main([str(pack_folder), "--out", str(tmp_path), "--preset", "tiny", "--threads", "1", "--until", until])
    once, twice = load_file(trained / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert once.keys() == twice.keys()
    for name, values in once.items():
        np.testing.assert_array_equal(values, twice[name], err_msg=name)


def test_another_seed_makes_other_weights(pack_folder: Path, trained: Path, tmp_path: Path) -> None:
    command.main([str(pack_folder), "--out", str(tmp_path), "--preset", "tiny", "--threads", "1", "--seed", "9"])
    once, other = load_file(trained / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert not np.array_equal(once["tokens.codes"], other["tokens.codes"])


def test_a_folder_of_another_configuration_is_refused(
    pack_folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main([str(pack_folder), "--out", str(trained), "--preset", "tiny", "--seed", "5"])
    assert "seed" in capsys.readouterr().err


def test_our_reader_reads_what_the_library_reads(trained: Path, weights: Weights) -> None:
    path = trained / "model.safetensors"
    library = load_file(path)
    assert library.keys() == weights.tensors.keys()
    for name, values in library.items():
        np.testing.assert_array_equal(values, weights.tensors[name], err_msg=name)
    with safe_open(path, "numpy") as opened:
        assert json.loads(opened.metadata()["words"]) == list(weights.words)


def test_numpy_and_torch_agree_on_every_network(weights: Weights, pack_folder: Path) -> None:
    plain, other = Networks(weights, NumpyOps()), Networks(weights, TorchOps("cpu"))
    pack = data.load(pack_folder, "val", augment=False)
    features = pack.versions[0].features[:96]
    codes = plain.encode(features)
    np.testing.assert_array_equal(codes, other.encode(features))
    np.testing.assert_allclose(plain.decode(codes), other.decode(codes), atol=1e-4)
    np.testing.assert_allclose(plain.root_velocity(features), other.root_velocity(features), atol=1e-4)
    words = [("walk", "forward"), ()]
    control = np.zeros((2, len(codes), 6), np.float32)
    control[0, :, 1], control[0, :, 4] = 1.2, 1.0
    both = np.repeat(codes[None, :, 0], 2, axis=0)
    hidden = np.zeros(both.shape, bool)
    hidden[:, ::2] = True
    ours = plain.scores(both, hidden, control, plain.text(words)[0])
    theirs = other.scores(both, hidden, control, other.text(words)[0])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert [e.seconds for e in plain.text(words)[1]] == pytest.approx([e.seconds for e in other.text(words)[1]], abs=1e-4)


def test_what_runs_is_what_was_trained(weights: Weights, pack_folder: Path) -> None:
    """The networks that ship against the modules that learn, from the same parameters."""
    pack = data.load(pack_folder, "val", augment=False)
    norm = Norm.of(data.load(pack_folder, "train", augment=True), Body())
    vq = VqStage(TINY, pack, pack, norm)
    vq.network.load_state_dict(_modules_state(weights, "vq.", vq.network), strict=False)
    vq.network.eval()
    stage = TokenStage(TINY, pack, pack, weights.words, [], [])
    stage.network.load_state_dict(_modules_state(weights, "tokens.", stage.network))
    stage.network.eval()
    networks = Networks(weights)
    features = pack.versions[0].features[:96]
    with torch.no_grad():
        latent = vq.network["encoder"](encoder_input(torch.tensor(features)[None], norm, Body()))[0]
        codes = vq.network["quantiser"].encode(latent).numpy()
        decoded = vq.network["decoder"](vq.network["quantiser"].decode(torch.tensor(codes))[None])[0] * norm.std + norm.mean
        control = np.random.default_rng(1).normal(size=(1, len(codes), 6)).astype(np.float32)
        hidden = np.arange(len(codes))[None] % 3 == 0
        words = [networks.words["walk"], networks.words["forward"]]
        scores, estimate = stage.network(
            torch.tensor(codes)[None, :, 0], torch.tensor(hidden), torch.tensor(control),
            torch.ones(1, len(codes), dtype=torch.bool), torch.tensor([words]), torch.ones(1, 2, dtype=torch.bool),
        )  # fmt: skip
    np.testing.assert_array_equal(networks.encode(features), codes)
    np.testing.assert_allclose(networks.decode(codes), decoded.numpy(), atol=1e-3)
    text, expected = networks.text([("walk", "forward")])
    np.testing.assert_allclose(networks.scores(codes[None, :, 0], hidden, control, text), scores.numpy(), atol=1e-3)
    assert expected[0].seconds == pytest.approx(float(estimate[0, 0].exp()), rel=1e-3)


def test_the_examples_are_the_codes_of_the_clips(weights: Weights, pack_folder: Path) -> None:
    """Every clip is there at its own speed, as it is and mirrored, from two phases; a clip's own codes find themselves."""
    pack = data.load(pack_folder, "train", augment=True)
    networks = Networks(weights)
    stored = networks.examples
    assert stored.clips == tuple(clip.id for clip in pack.clips)
    assert np.bincount(stored.clip_of_run).tolist() == [4] * len(pack.clips)
    version = next(v for v in pack.versions if v.clip == 1 and v.speed == 1.0 and not v.mirrored)
    codes = networks.encode(version.features[: len(version) // 4 * 4])
    chosen = Examples.of(networks).choose(codes[:, 0], np.random.default_rng(0))
    np.testing.assert_array_equal(chosen.codes, codes)
    assert Examples.of(networks).pieces(chosen.sources) == [(pack.clips[1].id, 0, len(codes))]


def _modules_state(weights: Weights, part: str, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The file's arrays under the modules' names, matrices of linear layers turned back."""
    linear = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)}
    arrays = {
        name.removeprefix(part): torch.tensor(values.astype(np.float32))
        for name, values in weights.tensors.items()
        if name.startswith(part)
    }
    return {name: values.T if name in linear else values for name, values in arrays.items()}


@pytest.mark.parametrize("cut", [0, 5, 9, 100, 4000, -1])
def test_a_cut_file_of_weights_is_refused(trained: Path, tmp_path: Path, cut: int) -> None:
    whole = (trained / "model.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[:cut])
    with pytest.raises(MotionQueueError) as caught:
        read_weights(path)
    assert caught.value.code == "weights_damaged"
