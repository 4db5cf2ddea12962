"""Plug-ins: members that installed packages add by entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unnoise import datasets, denoisers, io, noise
from unnoise.cli import main
from unnoise.errors import UnnoiseError

Call = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parent.parent

MODULE = '''
"""A plug-in of unnoise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unnoise.datasets.base import Dataset
from unnoise.denoisers import Denoiser
from unnoise.noise import Noise
from unnoise.spec import HasSpec


@dataclass(frozen=True)
class Fog(Noise):
    """Haze: a share of white is mixed in. It has no randomness.

    Args:
        share: of white, 0 to 1.
    """

    name: ClassVar[str] = "fog"
    share: float

    def apply(self, image, rng):
        return (1 - self.share) * image + np.float32(self.share)


@dataclass(frozen=True)
class Rain(Noise):
    """Bright streaks from top to bottom.

    Args:
        share: of columns that are hit.
    """

    name: ClassVar[str] = "rain"
    share: float = 0.1

    def apply(self, image, rng):
        hit = rng.random(image.shape[1]) < self.share
        return np.where(hit[None, :, None], np.float32(0.9), image)


class Dry(HasSpec, Denoiser):
    """Replace columns by the median of five.

    Args:
        width: of the columns that are looked at.
    """

    name = "dry"
    halo = 2

    def __init__(self, width=5):
        self.width = width

    def run(self, noisy, sigma):
        from scipy import ndimage

        return ndimage.median_filter(noisy, (1, self.width, 1), mode="mirror")


class Defog(HasSpec, Denoiser):
    """Remove haze of a known share.

    Args:
        share: of white, 0 to 1.
    """

    name = "defog"

    def __init__(self, share=0.25):
        self.share = share

    def run(self, noisy, sigma):
        return ((noisy - np.float32(self.share)) / (1 - np.float32(self.share))).astype(np.float32)


class Ramps(Dataset):
    """Gray ramps of a given side."""

    def __init__(self, path, *, channels=None, exclude=None):
        self.side = int(path)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.tile(np.linspace(0, 1, self.side, dtype=np.float32)[:, None, None], (1, self.side, 1))

    def label(self, index):
        return f"ramp {index}"


class Gaussian:
    """Never used: the name belongs to unnoise."""


not_a_class = 3
'''
TORCH_MODULE = '''
"""The part of the plug-in that needs PyTorch."""

from torch import nn

from unnoise.networks.base import Network
from unnoise.training.tasks.supervised import Supervised


class Thin(Network):
    """One convolution.

    Args:
        channels: of the image.
        width: not used.
    """

    name = "thin"
    halo = 1

    def __init__(self, channels=3, width=4):
        super().__init__()
        self.channels, self.width = channels, width
        self.layer = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, noisy, sigma=None):
        return noisy - self.layer(noisy)


class Watched(Supervised):
    """Supervised, from another package."""

    name = "watched"
'''
ENTRY_POINTS = """
[unnoise.noises]
fog = fogpack:Fog
rain = fogpack:Rain
gaussian = fogpack:Gaussian
[unnoise.denoisers]
defog = fogpack:Defog
dry = fogpack:Dry
number = fogpack:not_a_class
[unnoise.datasets]
ramps = fogpack:Ramps
[unnoise.schedules]
gone = fogpack_gone:Gone
[unnoise.networks]
thin = fogpack_torch:Thin
[unnoise.tasks]
watched = fogpack_torch:Watched
"""


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the package as pip lays it out: its modules, and a dist-info folder beside them."""
    site = tmp_path_factory.mktemp("site")
    (site / "fogpack.py").write_text(MODULE)
    (site / "fogpack_torch.py").write_text(TORCH_MODULE)
    info = site / "unnoise_fog-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unnoise-fog\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    for name in ("fogpack", "fogpack_torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return site


@pytest.fixture
def unnoise(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main.main([str(word) for word in words])
        return int(left.value.code or 0), *capsys.readouterr()

    return call


def test_a_noise_is_made_by_its_spec() -> None:
    fog = noise.make("fog:0.5 + clip")
    assert str(fog) == "fog:0.5 + clip"
    np.testing.assert_allclose(fog(np.zeros((4, 4, 1), np.float32), 0), 0.5)
    with pytest.raises(UnnoiseError, match="unknown option of fog 'shar': did you mean 'share'"):
        noise.make("fog:shar=1")
    with pytest.raises(UnnoiseError, match="unknown noise 'foh': did you mean 'fog'"):
        noise.make("foh:1")


def test_names_of_unnoise_win() -> None:
    assert type(noise.make("gaussian:5")).__module__ == "unnoise.noise.synthetic"
    assert list(noise.NOISES).count("gaussian") == 1


def test_a_dataset_and_a_denoiser_are_evaluated(unnoise: Call) -> None:
    assert len(datasets.make("ramps:24")) == 2
    status, out, err = unnoise("evaluate", "defog", "median", "--data", "ramps:24", "--noise", "fog:0.25", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "") and [row["model"] for row in rows] == ["defog", "median"]
    assert rows[0]["noise"] == "fog:0.25" and rows[0]["psnr"] > 50 > 30 > rows[1]["psnr"]


def test_a_denoiser_cleans_files(unnoise: Call, tmp_path: Path) -> None:
    io.from_array(np.full((8, 8), 128, np.uint8)).save(tmp_path / "a.png")
    assert unnoise(tmp_path / "a.png", "-m", "defog:0.1", "-o", tmp_path / "b.png")[0] == 0
    assert io.read(tmp_path / "b.png").pixels[0, 0, 0] == pytest.approx((128 / 255 - 0.1) / 0.9, abs=1 / 255)


def test_list_names_the_package(unnoise: Call) -> None:
    status, out, err = unnoise("list", "noises", "--json")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert (status, err) == (0, "")
    assert (rows["fog"]["package"], rows["fog"]["spec"]) == ("unnoise-fog", "fog:SHARE")
    assert rows["fog"]["summary"] == "Haze: a share of white is mixed in."
    assert rows["gaussian"]["package"] == "unnoise"
    assert re.search(r"ramps:PATH +Gray ramps of a given side\. \[unnoise-fog\]", unnoise("list", "datasets")[1])
    assert unnoise("models", "defog")[1].startswith("defog:share=0.25\n")


def test_a_broken_plugin_is_one_line_with_its_package(unnoise: Call) -> None:
    status, out, err = unnoise("list", "schedules")
    assert status == 1 and "cosine" in out
    assert err.startswith("unnoise: schedule 'gone' of package unnoise-fog cannot be loaded: ModuleNotFoundError")
    assert err.count("\n") == 1
    with pytest.raises(UnnoiseError, match="denoiser 'number' of package unnoise-fog is not a class"):
        denoisers.make("number")


def test_a_network_and_a_task_are_trained(unnoise: Call, three_pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    recipe = {
        "name": "fogged",
        "network": "thin:width=2",
        "task": "watched",
        "noise": "fog:0..0.5 + gaussian:10",
        "data": {"train": [f"images:{three_pictures}"]},
        "train": {"steps": 2, "precision": "fp32", "stages": [{"until": 1, "patch": 16, "batch": 2}]},
    }
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    status, out, err = unnoise("train", tmp_path / "r.json", "-o", tmp_path / "run")
    assert status == 0, err
    model = out.splitlines()[-1]
    assert str(denoisers.make(model)) == "fogged"
    card = json.loads(unnoise("models", model, "--json")[1])
    assert (card["network"], card["task"]) == ("thin:width=2", "watched")
    assert re.search(r"thin:channels=3,width=4 +One convolution\. \[unnoise-fog\]", unnoise("list", "networks")[1])


def test_it_passes_the_contract_tests_of_unnoise(installed: Path) -> None:
    """As its author runs them: in a checkout that is left alone, with the package on the import path."""
    pytest.importorskip("torch")
    contracts = {
        "tests/test_registries.py": "noises-rain or denoisers-dry or networks-thin or tasks-watched or datasets-ramps",
        "tests/noise/test_noise.py": "test_noise and rain and TestContract",
        "tests/denoisers/test_denoisers.py": "test_denoisers and dry and TestContract",
        "tests/networks/test_networks.py": "test_networks and thin",
        "tests/training/test_tasks.py": "test_tasks and watched",
    }
    chosen = " or ".join(f"({one})" for one in contracts.values())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *contracts]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(installed)])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout[-3000:]
    ran = re.search(r"(\d+) passed", done.stdout)
    assert ran and int(ran[1]) > 40, done.stdout[-500:]
