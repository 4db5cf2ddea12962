"""Networks of other projects: small ones with random weights, saved as their authors save them."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch  # noqa: TID253
import torch  # noqa: TID253
from torch import nn  # noqa: TID253

from tests.fakes import Call, Hostile
from unnoise import denoisers, io
from unnoise.denoisers import tiling
from unnoise.denoisers.onnx import Onnx
from unnoise.denoisers.pytorch import TorchDenoiser
from unnoise.errors import UnnoiseError

if not importlib.util.find_spec("spandrel"):
    pytest.skip("needs unnoise[spandrel]", allow_module_level=True)

from unnoise.denoisers.spandrel import spandrel

ARCHITECTURES = spandrel.architectures
DNCNN = ARCHITECTURES.DnCNN.DnCNN

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "DnCNN": lambda: DNCNN(in_nc=1, out_nc=1, nc=8, nb=9, act_mode="R"),
    "DnCNN, batch normalization": lambda: DNCNN(in_nc=3, out_nc=3, nc=8, nb=9, act_mode="BR"),
    "FDnCNN": lambda: DNCNN(in_nc=2, out_nc=1, nc=8, nb=9, act_mode="R", mode="FDnCNN"),
    "FFDNet": lambda: DNCNN(in_nc=13, out_nc=12, nc=8, nb=9, act_mode="R", mode="FDnCNN"),
    "FFDNet, gray": lambda: DNCNN(in_nc=5, out_nc=4, nc=8, nb=9, act_mode="R", mode="FDnCNN"),
    "DRUNet": lambda: ARCHITECTURES.DRUNet.DRUNet(in_nc=4, out_nc=3, nc=[4, 8, 8, 16], nb=2),
    "SCUNet": lambda: ARCHITECTURES.SCUNet.SCUNet(in_nc=3, config=[2] * 7, dim=64),
    "NAFNet": lambda: ARCHITECTURES.NAFNet.NAFNet(width=4, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
    "SwinIR": lambda: ARCHITECTURES.SwinIR.SwinIR(img_size=16, embed_dim=12, depths=[2], num_heads=[2], window_size=8,
                                                  mlp_ratio=2),
}  # fmt: skip
WRAPPED = {  # BasicSR, which NAFNet, Restormer and SwinIR are trained with, saves the weights inside a mapping
    "NAFNet": lambda state: {"params": state},
    "SwinIR": lambda state: {"params": state},
    "DRUNet": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3},
}
FACTS = {  # channels, grid, sees a finite part, takes sigma
    "DnCNN": (1, 1, True, False),
    "DnCNN, batch normalization": (3, 1, True, False),
    "FDnCNN": (1, 1, True, True),
    "FFDNet": (3, 2, True, True),
    "FFDNet, gray": (1, 2, True, True),
    "DRUNet": (3, 8, True, True),
    "SCUNet": (3, 64, False, False),
    "NAFNet": (3, 4, False, False),
    "SwinIR": (3, 8, False, False),
}


def build(name: str) -> nn.Module:
    """Return a network with random weights, none of them left at zero."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.meshgrid
        network = NETWORKS[name]().eval()
    for key, value in network.state_dict().items():
        if key.endswith(("beta", "gamma", "running_mean")):
            nn.init.uniform_(value, -0.2, 0.2)
        elif key.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return the file of every network."""
    folder, files = tmp_path_factory.mktemp("peers"), {}
    for name in NETWORKS:
        files[name] = folder / f"{name.replace(', ', '_').replace(' ', '_')}.pth"
        torch.save(WRAPPED.get(name, lambda state: state)(build(name).state_dict()), files[name])
    return files


def images(name: str, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side + 8, FACTS[name][0]), dtype=np.float32)


def by_author(name: str, noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Call a network as its authors' test scripts do."""
    network, batch = build(name), torch.from_numpy(noisy.transpose(2, 0, 1)[None])
    with torch.inference_mode():
        if name.startswith("FFDNet"):  # KAIR, models/network_ffdnet.py: the four sub-images, then a map of sigma
            parts = [batch[:, c : c + 1, i::2, j::2] for c in range(batch.shape[1]) for i in (0, 1) for j in (0, 1)]
            halves = torch.cat([*parts, torch.full_like(parts[0], sigma)], 1)
            clean = nn.functional.pixel_shuffle(network(halves), 2)
        elif FACTS[name][3]:
            clean = network(torch.cat([batch, torch.full_like(batch[:, :1], sigma)], 1))
        else:
            clean = network(batch)
    return clean[0].numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_opens_as_what_it_is(name: str, saved: Mapping[str, Path]) -> None:
    model = denoisers.make(saved[name])
    assert isinstance(model, TorchDenoiser)
    assert str(model.network) == f"spandrel:{name.partition(',')[0]}"
    assert (model.channels, model.multiple_of, model.halo is not None, model.wants_sigma) == FACTS[name]
    assert model.margin == 0
    assert str(model) == saved[name].stem


@pytest.mark.parametrize("name", NETWORKS)
def test_the_result_is_that_of_the_authors_code(name: str, saved: Mapping[str, Path]) -> None:
    noisy = images(name, 128)[:, :128]
    model = denoisers.make(saved[name])
    for sigma in (0.05, 0.2):
        expected = by_author(name, noisy, sigma)
        assert np.ptp(expected - noisy) > 0.01, "this network does nothing"
        np.testing.assert_allclose(model(noisy, sigma), expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 50, 1), (33, 9, 3)])
def test_any_size_and_channels(name: str, shape: tuple[int, ...], saved: Mapping[str, Path]) -> None:
    noisy = np.random.default_rng(0).random(shape, dtype=np.float32)
    clean = denoisers.make(saved[name])(noisy)
    assert clean.shape == shape and clean.dtype == np.float32 and np.isfinite(clean).all()


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts[2]])
def test_tiles_equal_the_whole(name: str, saved: Mapping[str, Path]) -> None:
    model, noisy = denoisers.make(saved[name]), images(name, 320)
    assert model.halo is not None
    tiled = tiling.denoise_tiled(model, noisy, 0.1, halo=model.halo, multiple_of=model.multiple_of, size=96)
    np.testing.assert_allclose(tiled, model(noisy, 0.1), atol=1e-5)


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts[2]])
def test_nothing_beyond_the_halo_matters(name: str, saved: Mapping[str, Path]) -> None:
    """A pixel that is not a number spreads as far as the network sees, and not beyond."""
    network = denoisers.make(saved[name]).network
    multiple, reach = network.multiple_of, network.halo
    length = 2 * (reach + multiple) + 8 * multiple
    length += -length % multiple
    for phase in range(multiple):
        place = length // 2 // multiple * multiple + phase
        row = torch.zeros(1, network.channels, multiple, length)
        row[:, :, :, place] = torch.nan
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the flags name devices that are not there
            with torch.backends.mkldnn.flags(enabled=False):  # oneDNN may compute several pixels as one
                seen = network(row, torch.full((1, 1, 1, 1), 0.1))[0, 0].isnan().any(0).nonzero().flatten()
        assert seen.numel(), "the pixel has no effect"
        assert int((seen - place).abs().max()) <= reach


def test_sigma_maps_reach_the_network(saved: Mapping[str, Path]) -> None:
    """Each half of the image is denoised as with its own sigma."""
    for name in ("FFDNet", "DRUNet", "FDnCNN"):
        model, noisy = denoisers.make(saved[name]), images(name, 400)[:, :400]
        level = np.full((400, 400), 0.05, np.float32)
        level[:, 200:] = 0.2
        halves = model(noisy, level)
        np.testing.assert_allclose(halves[:, :40], model(noisy, 0.05)[:, :40], atol=1e-5)
        np.testing.assert_allclose(halves[:, -40:], model(noisy, 0.2)[:, -40:], atol=1e-5)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "SCUNet" else n for n in NETWORKS])
def test_export_writes_onnx_with_a_card(name: str, saved: Mapping[str, Path], tmp_path: Path) -> None:
    from unnoise.training import export

    before = saved[name].read_bytes()
    target = export.export(saved[name], tmp_path / "peer.onnx", scores={"set, gaussian:25": 30.0})
    assert saved[name].read_bytes() == before, "the authors' file is left alone"
    model, noisy = Onnx(target), images(name, 72)
    assert (model.channels, model.multiple_of, model.halo is not None, model.wants_sigma) == FACTS[name]
    assert (model.card.network, model.card.licence) == (f"spandrel:{name.partition(',')[0]}", "not stated in the file")
    np.testing.assert_allclose(model(noisy, 0.1), denoisers.make(saved[name])(noisy, 0.1), atol=1e-4)


def test_safetensors_without_a_card(saved: Mapping[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "drunet.safetensors"
    safetensors.torch.save_file(build("DRUNet").state_dict(), path)
    noisy = images("DRUNet", 24)
    np.testing.assert_array_equal(denoisers.make(path)(noisy, 0.1), denoisers.make(saved["DRUNet"])(noisy, 0.1))


def test_command_line(saved: Mapping[str, Path], tmp_path: Path, call: Call) -> None:
    noisy = tmp_path / "noisy.png"
    io.from_array((255 * images("DRUNet", 40)).astype(np.uint8)).save(noisy)
    peer = str(saved["DRUNet"])
    assert call(noisy, "--model", peer, "--sigma", 25, "-o", tmp_path / "clean.png")[0] == 0
    assert io.read(tmp_path / "clean.png").pixels.shape == (40, 48, 3)
    status, out, _ = call("evaluate", peer, "median", "--data", f"images:{tmp_path}", "--noise", "gaussian:25")
    assert status == 0 and f"| {peer} |" in out
    status, out, _ = call("models", peer)
    assert status == 0 and "spandrel:DRUNet" in out and "not stated in the file" in out
    assert call("export", peer, "-o", tmp_path / "peer.onnx")[:2] == (0, f"{tmp_path / 'peer.onnx'}\n")


def test_what_is_no_denoiser_is_refused(tmp_path: Path, saved: Mapping[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        enlarging = ARCHITECTURES.SwinIR.SwinIR(
            img_size=16, embed_dim=12, depths=[2], num_heads=[2], window_size=8, mlp_ratio=2, upscale=2,
            upsampler="pixelshuffledirect",
        )  # fmt: skip
    restormer = {"patch_embed.proj.weight": torch.zeros(48, 3, 3, 3), "output.weight": torch.zeros(3, 96, 3, 3)}
    cases: dict[str, tuple[Any, str]] = {
        "enlarging": (enlarging.state_dict(), "is not a denoiser: SwinIR enlarges images"),
        "restormer": ({"params": restormer}, "spandrel does not know; Restormer and MPRNet need .*spandrel_extra"),
        "empty": ({}, "contains no weights"),
        "numbers": ({"epoch": 3}, "contains no weights"),
        "list": ([torch.zeros(3)], "contains no weights"),
        "code": (Hostile(tmp_path / "made"), "it is corrupt, or contains more than weights"),
        "odd": ({**build("DRUNet").state_dict(), "m_tail.weight": torch.zeros(2, 4, 3, 3)}, "images of 2 channels"),
    }
    if importlib.util.find_spec("spandrel_extra_arches"):
        del cases["restormer"]
    for name, (content, why) in cases.items():
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        with pytest.raises(UnnoiseError, match=why) as raised:
            denoisers.make(path)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "made").exists(), "code in the file was run"
    with pytest.raises(UnnoiseError, match=r"runs \.onnx files only: run `unnoise export"):
        denoisers.make(saved["DRUNet"], engine="onnx")
    with pytest.raises(UnnoiseError, match=r"no model file 'absent\.pth'"):
        denoisers.make("absent.pth")


BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise {error}

sys.meta_path.insert(0, Blocked())
from unnoise import denoisers
"""


@pytest.mark.parametrize(
    "error",
    [
        'ModuleNotFoundError("No module named torchvision", name="torchvision")',
        'RuntimeError("operator torchvision::nms does not exist")',
    ],
)
def test_without_a_torchvision_that_loads(
    error: str, saved: Mapping[str, Path], fresh_python: Callable[[str], str]
) -> None:
    code = (
        BLOCK.format(name="torchvision", error=error)
        + f"""
print(denoisers.make({str(saved["NAFNet"])!r}).network)
print("torchvision" in sys.modules)
"""
    )
    assert fresh_python(code) == "spandrel:NAFNet\nFalse\n"


def test_without_the_extra_one_line_says_what_to_install(
    saved: Mapping[str, Path], fresh_python: Callable[[str], str]
) -> None:
    missing = 'ModuleNotFoundError("No module named spandrel", name="spandrel")'
    code = (
        BLOCK.format(name="spandrel", error=missing)
        + f"""
try:
    denoisers.make({str(saved["NAFNet"])!r})
except denoisers.pytorch.UnnoiseError as error:
    print(error)
"""
    )
    expected = 'spandrel is not installed; install it with: pip install "unnoise[spandrel]"\n'
    assert fresh_python(code.replace("denoisers.pytorch.UnnoiseError", "ValueError")) == expected


def test_what_needs_torchvision_itself_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from unnoise.denoisers import torchvision_stand_in

    monkeypatch.setitem(sys.modules, "torchvision", None)
    with torchvision_stand_in.importable():
        from torchvision import models  # type: ignore[import-not-found]
        from torchvision.transforms.functional import InterpolationMode, rotate  # type: ignore[import-not-found]

        class Derived(models.inception.InceptionA):  # as piq derives from it
            pass

    assert InterpolationMode.NEAREST
    with pytest.raises(UnnoiseError, match="and torchvision does not load here"):
        Derived()
    with pytest.raises(UnnoiseError, match=r"this needs torchvision\.transforms\.functional\.rotate"):
        rotate(1)
    assert sys.modules["torchvision"] is None


def test_copies_of_a_peer(saved: Mapping[str, Path], fresh_python: Callable[[str], str], tmp_path: Path) -> None:
    import pickle

    model, noisy = denoisers.make(saved["SCUNet"]), images("SCUNet", 64)[:, :64]
    (tmp_path / "pickle").write_bytes(pickle.dumps(model))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'pickle')!r}, 'rb')))"
    assert fresh_python(code) == "SCUNet\n"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model))(noisy), model(noisy))
