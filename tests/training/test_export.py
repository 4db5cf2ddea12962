"""Model files: PyTorch and ONNX Runtime give the same results, and invalid files are refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import onnx  # noqa: TID253
import pytest
import safetensors.torch  # noqa: TID253
import torch  # noqa: TID253

from tests.fakes import Hostile, InMemory
from unnoise import denoisers, networks, noise
from unnoise.denoisers import pytorch
from unnoise.denoisers.clipping import reach
from unnoise.denoisers.model_card import KEY, Card
from unnoise.denoisers.onnx import Onnx
from unnoise.denoisers.pytorch import TorchDenoiser
from unnoise.denoisers.tiling import denoise_tiled
from unnoise.errors import UnnoiseError
from unnoise.training import export as exporting, quantization

SPECS = [
    "resunet:widths=4/8,blocks=1/1",
    "resunet:channels=1,widths=4/8,blocks=1/1,told=false,guess=true,fill=true,refine=4",
    "dncnn:channels=1,depth=3,width=4",
]
SIZES = [(1, 1), (1, 7), (7, 5), (16, 24), (33, 50)]
NO_MODEL = "cannot read the model|has no valid card|do not fit"


def save(spec: str, path: Path) -> Path:
    """Write a model with random weights and statistics, none left at its initial zero or one."""
    torch.manual_seed(0)
    network = networks.make(spec)
    for value in network.state_dict().values():
        if value.is_floating_point():
            torch.nn.init.uniform_(value, *((-0.1, 0.1) if value.ndim > 1 else (0.2, 0.6)))
    facts = {key: getattr(network, key) for key in ("channels", "multiple_of", "halo", "wants_sigma", "margin")}
    summary = "für Tests, grün"  # not only ASCII
    card = Card(
        name="tiny", summary=summary, network=str(network), noise="gaussian:0..50", data_licence="ours", **facts
    )
    pytorch.save(network, card, path)
    return path


@pytest.fixture(scope="module", params=SPECS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model as a `.safetensors` file with its export beside it."""
    path = save(request.param, tmp_path_factory.mktemp("model") / "tiny.safetensors")
    assert exporting.export(path) == path.with_suffix(".onnx")
    return path


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    return save(SPECS[0], tmp_path / "tiny.safetensors")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["number", "map"])
def test_both_runtimes_agree_at_any_size(
    model: Path, rng: np.random.Generator, size: tuple[int, int], kind: str
) -> None:
    original, copy = denoisers.make(model), denoisers.make(model.with_suffix(".onnx"), engine="onnx")
    assert isinstance(original, TorchDenoiser)
    assert isinstance(copy, Onnx)
    noisy = rng.random((*size, original.channels or 3), dtype=np.float32)
    sigma = 0.1 if kind == "number" else rng.uniform(0.02, 0.2, size).astype(np.float32)
    clean = original(noisy, sigma)
    assert clean.shape == noisy.shape
    assert np.abs(clean - noisy).max() > 0.01, "random weights do something"
    np.testing.assert_allclose(copy(noisy, sigma), clean, atol=1e-5)


def test_tiles_of_either_equal_the_whole(model: Path, rng: np.random.Generator) -> None:
    for path in (model, model.with_suffix(".onnx")):
        denoiser = denoisers.make(path)
        noisy = rng.random((75, 61, denoiser.channels or 3), dtype=np.float32)
        sigma = rng.uniform(0.02, 0.2, noisy.shape[:2]).astype(np.float32)
        whole, facts = denoiser(noisy, sigma), {"halo": denoiser.halo or 0, "multiple_of": denoiser.multiple_of}
        np.testing.assert_allclose(denoise_tiled(denoiser, noisy, sigma, size=16, **facts), whole, atol=1e-5)


def test_batch_normalisation_is_folded_into_the_convolutions(tmp_path: Path, rng: np.random.Generator) -> None:
    network, _ = pytorch.load(save("dncnn:depth=5,width=6", tmp_path / "tiny.safetensors"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = exporting.fold_norms(network.train())
    kinds = [type(layer) for layer in folded.modules()]
    assert torch.nn.BatchNorm2d not in kinds
    assert kinds.count(torch.nn.Conv2d) == 5
    assert network.training
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    noisy = torch.tensor(rng.random((2, 3, 9, 12), dtype=np.float32))
    with torch.no_grad():
        torch.testing.assert_close(folded(noisy), network.eval()(noisy), atol=1e-5, rtol=0)
    exported = onnx.load(exporting.export(tmp_path / "tiny.safetensors"))
    assert "BatchNormalization" not in {node.op_type for node in exported.graph.node}


def test_both_files_carry_one_card(model: Path) -> None:
    network, card = pytorch.load(model)
    assert Onnx(model.with_suffix(".onnx")).card == card
    assert (card.name, card.summary, card.network) == ("tiny", "für Tests, grün", str(network))
    exported, learned = denoisers.make(model.with_suffix(".onnx")), denoisers.make(model)
    assert exported.corrects_clipping == learned.corrects_clipping == card.corrects_clipping == network.wants_sigma
    for fact in ("channels", "multiple_of", "wants_sigma", "margin"):
        assert getattr(exported, fact) == getattr(learned, fact) == getattr(network, fact)
    assert exported.halo == learned.halo == (reach(network.halo) if card.corrects_clipping else network.halo)
    assert [path.name for path in sorted(model.parent.iterdir())] == ["tiny.onnx", "tiny.safetensors"]


def test_scores_go_on_both_cards(learned: Path, tmp_path: Path) -> None:
    target, scores = tmp_path / "other.onnx", {"images:x, gaussian:25": 31.25}
    before, card = pytorch.load(learned)
    assert exporting.export(learned, target, scores=scores) == target
    after, scored = pytorch.load(learned)
    assert scored == Onnx(target).card == dataclasses.replace(card, scores=scores)
    torch.testing.assert_close(after.state_dict(), before.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("spec", SPECS)
def test_weights_in_half_are_rounded_once_for_both_files(tmp_path: Path, rng: np.random.Generator, spec: str) -> None:
    learned = save(spec.replace("4/8", "16/32"), tmp_path / "tiny.safetensors")
    before, card = pytorch.load(learned)
    whole = exporting.export(learned, tmp_path / "whole.onnx").stat().st_size, learned.stat().st_size
    halves = exporting.export(learned, half=True)
    after, card_after = pytorch.load(learned)
    assert card_after == card
    for key, value in after.state_dict().items():
        assert torch.equal(value, before.state_dict()[key].to(torch.float16).to(value.dtype)), key
    if "dncnn" not in spec:  # whose kernels are made anew from its norms
        assert halves.stat().st_size < 0.75 * whole[0]
        assert learned.stat().st_size < 0.75 * whole[1]
    noisy = rng.random((32, 32, card.channels), dtype=np.float32)
    expected = TorchDenoiser(after, card)(noisy, 0.1)
    np.testing.assert_allclose(Onnx(halves)(noisy, 0.1), expected, atol=1e-5)
    if importlib.util.find_spec("openvino"):
        from unnoise.denoisers.openvino import OpenVino

        np.testing.assert_allclose(OpenVino(halves, precision="f32")(noisy, 0.1), expected, atol=1e-4)


def test_weights_that_halves_cannot_hold_are_refused(learned: Path) -> None:
    network, card = pytorch.load(learned)
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    pytorch.save(network, card, learned)
    before = learned.read_bytes()
    with pytest.raises(UnnoiseError, match="differs"), np.errstate(invalid="ignore"):
        exporting.export(learned, half=True)
    assert learned.read_bytes() == before
    assert [path.name for path in learned.parent.iterdir()] == ["tiny.safetensors"]


@pytest.mark.parametrize("existing", [None, b"what was there"])
def test_an_export_that_differs_is_refused(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bytes | None
) -> None:
    to_onnx, target = exporting.to_onnx, tmp_path / "tiny.onnx"
    if existing is not None:
        target.write_bytes(existing)

    def to_another(network: networks.Network, card: Card, *, half: bool) -> bytes:
        with torch.no_grad():
            network = networks.make(str(network))  # fresh: the identity
        return to_onnx(network, card, half=half)

    monkeypatch.setattr(exporting, "to_onnx", to_another)
    before = learned.read_bytes()
    with pytest.raises(UnnoiseError, match=r"differs from '.*tiny.safetensors' by \d+\.\d+ 8-bit levels$"):
        exporting.export(learned, scores={"x": 1.0})
    assert learned.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.safetensors"} | ({"tiny.onnx"} if existing else set())
    assert existing is None or target.read_bytes() == existing


def test_an_export_is_named_as_one(learned: Path, tmp_path: Path) -> None:
    for target in (tmp_path / "tiny.pt", learned):
        with pytest.raises(UnnoiseError, match=r"must end in \.onnx"):
            exporting.export(learned, target)


def without_card(path: Path, learned: Path) -> bytes:
    if path.suffix == ".safetensors":
        return safetensors.torch.save(pytorch.load(learned)[0].state_dict())
    exported = onnx.load(exporting.export(learned, path.with_name("whole.onnx")))
    del exported.metadata_props[:]
    return exported.SerializeToString()


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
@pytest.mark.parametrize("content", ["missing", "empty", "garbage", "pickle", "half", "no card", "folder"])
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, learned: Path, suffix: str, content: str) -> None:
    path, exploded = tmp_path / f"bad{suffix}", tmp_path / "exploded"
    make = {
        "empty": lambda: b"",
        "garbage": lambda: bytes(range(256)) * 20,
        "pickle": lambda: pickle.dumps(Hostile(exploded)),
        "half": lambda: learned.read_bytes()[: len(learned.read_bytes()) // 2],
        "no card": lambda: without_card(path, learned),
    }
    if content == "folder":
        path.mkdir()
    elif content != "missing":
        path.write_bytes(make[content]())
    why = "no model file" if content in ("missing", "folder") else NO_MODEL
    with pytest.raises(UnnoiseError, match=why) as caught:
        denoisers.make(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not exploded.exists()


def test_weights_that_do_not_fit_the_card_are_refused(learned: Path) -> None:
    network, card = pytorch.load(learned)
    pytorch.save(network, dataclasses.replace(card, network="resunet:widths=4/12,blocks=1/1"), learned)
    with pytest.raises(UnnoiseError, match=r"do not fit the network resunet:widths=4/12"):
        pytorch.load(learned)


def test_a_card_may_say_more_than_is_known_here(learned: Path) -> None:
    _, card = pytorch.load(learned)
    newer = json.loads(card.to_metadata()[KEY]) | {"sung": True}
    assert Card.from_metadata({KEY: json.dumps(newer)}, "x") == card


@pytest.mark.parametrize("metadata", [None, {}, {KEY: "{"}, {KEY: "[]"}, {KEY: '{"name": "x"}'}, {KEY: "null"}])
def test_what_is_no_card_is_refused(metadata: dict[str, str] | None) -> None:
    with pytest.raises(UnnoiseError, match=r"^'x' is not an unnoise model: it has no valid card$"):
        Card.from_metadata(metadata, "x")


def test_a_network_is_left_in_the_mode_it_was_in(learned: Path) -> None:
    network, _ = pytorch.load(learned)
    for mode in (True, False):
        network.train(mode)
        TorchDenoiser(network)(np.zeros((4, 4, 3), np.float32), 0.1)
        assert network.training is mode


def gradients(count: int = 6) -> InMemory:
    """Return smooth images; six are enough to quantize with."""
    rows, columns = np.mgrid[:160, :160] / 160
    waves = (0.5 + 0.4 * np.sin(index + 7 * rows + 5 * columns) for index in range(count))
    return InMemory(*(np.repeat(wave[..., None], 3, axis=2).astype(np.float32) for wave in waves))


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Return the ONNX file of a network that has inner convolutions."""
    return exporting.export(save("resunet:widths=4/8,blocks=2/1", tmp_path / "deep.safetensors"))


@pytest.mark.parametrize("half", [False, True])
def test_a_quantized_model_cleans_nearly_as_the_original_and_says_what_it_is(
    deep: Path, tmp_path: Path, half: bool
) -> None:
    if half:
        exporting.export(deep.with_suffix(".safetensors"), half=True)
    target = tmp_path / "deep-fast.onnx"
    lost = quantization.quantize(deep, target, gradients(), kept=3)
    kinds = Counter(node.op_type for node in onnx.load(target).graph.node)
    assert kinds["QuantizeLinear"] > 0, "something works in integers"
    quick = Onnx(target)
    assert (quick.card.name, quick.card.halo) == ("deep-fast", Onnx(deep).card.halo)
    assert "8-bit" in quick.card.summary
    noisy = noise.make("gaussian:20")(gradients().items[1], 5)
    assert 0 < np.abs(quick(noisy, 0.1) - Onnx(deep)(noisy, 0.1)).max() < 0.05
    assert lost < quantization.LARGEST_LOSS
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("pictures", "kept", "why"),
    [
        (gradients(2), 3, "needs at least 3 images"),
        (gradients(), 9, "none is left"),
        (gradients(), 0, "loses .* dB in 8 bits"),
    ],
)
def test_what_cannot_be_quantized_well_is_not_written(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: InMemory, kept: int, why: str
) -> None:
    if "loses" in why:
        monkeypatch.setattr(quantization, "LARGEST_LOSS", -1.0)
    with pytest.raises(UnnoiseError, match=why):
        quantization.quantize(deep, tmp_path / "fast.onnx", pictures, kept=kept)
    assert not list(tmp_path.glob("*fast*"))
