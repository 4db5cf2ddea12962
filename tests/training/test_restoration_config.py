"""Config files of the restoration framework: how they are read, converted to recipes, and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253
import yaml

from tests.fakes import Hostile
from unnoise import api, networks, noise
from unnoise.cli import main
from unnoise.datasets import stl10
from unnoise.denoisers import pytorch
from unnoise.denoisers.model_card import Card
from unnoise.errors import UnnoiseError
from unnoise.training import recipe as recipes, restoration_config, trainer
from unnoise.training.trainer import ProgressEvent

Call = Callable[..., str]
# As the framework's own page spells its keys and values.
PAGE = {
    "model": "U-net",
    "save_weight_path": None,
    "load_weigth_path": None,
    "datset": "STL10",
    "device": "cpu",
}
FULL = {
    **PAGE,
    "mode": "train",
    "epoches": 7,
    "batch_size": 3,
    "learning_rate": 0.0005,
    "train_size": 0.8,
    "num_workers": 0,
    "b1": 0.5,
    "b2": 0.99,
    "weight_decay": 0.01,
    "lambda_reconstruction": 2,
    "lambda_ssim": 0.5,
    "lambda_total_variation": 0.25,
    "lambda_kl": 0.125,
}
SMALL = {"U-net": "network=unet:width=1", "VAE": "network=vae:code=3,width=1"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photograph: np.ndarray) -> Path:
    """Change to a folder whose data root holds ten training pictures and two test pictures of STL-10."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_DATA", "data")
    folder = Path("data/stl10_binary")
    folder.mkdir(parents=True)
    levels = np.rint(photograph * 255).astype(np.uint8)
    crops = [levels[3 * step :, 5 * step :][:96, :96] for step in range(10)]
    stl10.write(crops, folder / "train_X.bin")
    stl10.write([one[::-1] for one in crops[:2]], folder / "test_X.bin")
    return tmp_path


@pytest.fixture
def unnoise(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return the command: words -> what it prints; it checks that the call succeeds, or fails in one line."""

    def call(*words: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main.main(list(words))
        out, err = capsys.readouterr()
        assert (left.value.code or 0) == status, err
        assert status == 0 or err.count("\n") == 1
        return err if status else out

    return call


def write(config: dict[str, Any], path: str = "config.json") -> Path:
    Path(path).write_text(json.dumps(config), encoding="utf-8")
    return Path(path)


def test_every_setting_has_its_place_in_the_recipe() -> None:
    recipe = recipes.load(FULL)
    assert (recipe.name, recipe.network, recipe.init_from) == ("unet", "unet", None)
    assert recipe.noise == "gaussian:25.5 + clip | salt-pepper:0.03 | uniform:51 + clip"
    assert recipe.loss == "2*l1 + 0.5*ssim + 0.25*tv"
    assert recipe.data.train == ["stl10:stl10_binary#train:0..0.8"]
    assert recipe.data.validation == ["stl10:stl10_binary#train:0.8..1"]
    assert (recipe.data.size, recipe.data.patches_per_picture, recipe.data.channels) == (128, 1, 3)
    assert [(stage.patch, stage.batch) for stage in recipe.train.stages] == [(128, 3)]
    assert (recipe.train.epochs, recipe.train.learning_rate, recipe.train.workers) == (7, 0.0005, 0)
    assert recipe.train.optimizer == "adam:b1=0.5,b2=0.99,weight_decay=0.01"


def test_the_vae_on_cifar100() -> None:
    recipe = recipes.load({**FULL, "model": "VAE", "datset": "Cifar100"})
    assert (recipe.name, recipe.network) == ("vae", "vae")
    assert recipe.loss == "2*l1 + 0.5*ssim + 0.25*tv + 0.125*kl"
    assert recipe.data.train == ["cifar100:cifar100/cifar-100-python#train:0..0.8"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("save_weigth_path", "save_weight_path"), ("load_weigth_path", "load_weight_path"), ("datset", "dataset")],
)
def test_both_spellings_are_taken(wrong: str, right: str) -> None:
    base = {"model": "VAE", "dataset": "STL10"}
    value = {"datset": "Cifar100"}.get(wrong, "some/where")
    one, other = ({**base, **{key: value}} for key in (wrong, right))
    if wrong == "datset":
        del one["dataset"]
    assert restoration_config.read(one) == restoration_config.read(other) != restoration_config.read(base)
    assert (
        restoration_config.read({**other, wrong: None})
        == restoration_config.read({wrong: None, **other})
        == restoration_config.read(one)
    )
    assert restoration_config.read({**other, right: base.get(right)}, {wrong: value}) == restoration_config.read(
        other
    ), "a change wins"
    with pytest.raises(UnnoiseError, match=f"'{right}' is given in two spellings: remove one"):
        restoration_config.read({**other, wrong: value})


def test_what_is_left_out_or_null_has_its_default() -> None:
    least = restoration_config.read({"model": "U-net", "dataset": "STL10"})
    nothing = dict.fromkeys(restoration_config.KEYS)
    assert restoration_config.read({**nothing, "model": "U-net", "datset": "STL10"}) == least
    assert (least.mode, least.device, least.folder, least.weights) == ("train", None, None, None)
    assert recipes.load(least.recipe).loss == "l1 + 0.2*ssim + 0.001*tv"


@pytest.mark.parametrize("name", ["U-net", "U-Net", "unet", "UNET"])
def test_case_and_hyphens_of_a_name_do_not_matter(name: str) -> None:
    assert restoration_config.read({**PAGE, "model": name}) == restoration_config.read(PAGE)


@pytest.mark.parametrize(
    ("train_size", "training", "validation"),
    [(0.75, ":0..0.75", ":0.75..1"), (1, "", None), (1.0, "", None), (4000, ":0..4000", ":4000..")],
)
def test_train_size_is_a_share_or_a_count(train_size: float, training: str, validation: str | None) -> None:
    data = restoration_config.read({**PAGE, "train_size": train_size}).recipe["data"]
    part = "stl10:stl10_binary#train"
    assert data["train"] == [f"{part}{training}"]
    assert data["validation"] == ([] if validation is None else [f"{part}{validation}"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modell": "VAE"}, "config: unknown key 'modell': did you mean 'model'?"),
        ({"epochs": 3}, "config: unknown key 'epochs': did you mean 'epoches'?"),
        ({"model": "DnCNN"}, "config: unknown model 'DnCNN': choose one of: U-net, VAE"),
        ({"model": None}, "config: the key 'model' is missing"),
        ({"datset": "STL-11"}, "config: unknown dataset 'STL-11': did you mean 'STL10'?"),
        ({"datset": None}, "config: the key 'dataset' is missing"),
        ({"device": "cuba"}, "config: unknown device 'cuba': did you mean 'cuda'?"),
        ({"mode": 3}, "config: unknown mode '3'"),
        ({"mode": "test"}, "config: mode 'test' needs a model: set load_weight_path"),
        ({"save_weight_path": 3}, "config: save_weight_path must be a path or null, got '3'"),
        ({"epoches": 0}, "config: epoches must be an integer of at least 1, got '0'"),
        ({"batch_size": 2.5}, "config: batch_size must be an integer of at least 1, got '2.5'"),
        ({"num_workers": True}, "config: num_workers must be an integer of at least 0, got 'True'"),
        ({"learning_rate": 0}, "config: learning_rate must be above 0"),
        ({"learning_rate": "fast"}, "config: learning_rate must be a number of at least 0, got 'fast'"),
        ({"weight_decay": float("nan")}, "config: weight_decay must be a number of at least 0, got 'nan'"),
        ({"train_size": 0}, "config: train_size must be above 0"),
        ({"train_size": 1.5}, "config: train_size must be a share of at most 1 or a number of images, got 1.5"),
        ({"b1": 1}, "config: b1 must be below 1, got 1"),
        ({"lambda_ssim": -1}, "config: lambda_ssim must be a number of at least 0, got '-1'"),
        (dict.fromkeys(restoration_config._LOSSES, 0), "config: all losses have weight 0"),
        (
            {"lambda_reconstruction": 0, "lambda_ssim": 0, "lambda_total_variation": 0, "lambda_kl": 1},
            "config: all losses have weight 0",
        ),
    ],
)
def test_invalid_config_gives_a_one_line_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnnoiseError) as caught:
        recipes.load({**PAGE, **changes})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_recipe_is_no_config() -> None:
    recipe = restoration_config.read(PAGE).recipe
    assert not restoration_config.is_config(recipe)
    assert not restoration_config.is_config({"network": "unet", "data": {}})
    assert not recipes.open(recipe).translated
    assert restoration_config.is_config({"datset": "STL10", "modle": "VAE"})


def test_changes_reach_the_config_and_the_recipe() -> None:
    changed = recipes.load(PAGE, {"epoches": "3", "learning_rate": "1e-4", "network": "unet:width=2"})
    assert (changed.train.epochs, changed.train.learning_rate, changed.network) == (3, 1e-4, "unet:width=2")


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model": "VAE", "datset": "STL10", "learning_rate": 1e-3, "weight_decay": 1E-6}')
    recipe = recipes.load(path)
    assert recipe.train.learning_rate == 0.001
    assert recipe.train.optimizer == "adam:weight_decay=1e-06"


def test_the_three_noises_are_those_of_the_framework(photograph: np.ndarray) -> None:
    gaussian, impulses, uniform = (noise.make(spec) for spec in restoration_config.NOISES)
    grey = np.full((200, 300, 3), 0.5, np.float32)
    assert (gaussian(grey, 0) - grey).std() == pytest.approx(0.1, rel=0.01)
    spread = uniform(grey, 0) - grey
    assert (spread.min(), spread.max()) == pytest.approx((-0.2, 0.2), abs=1e-3)
    hit = impulses(grey, 0) != grey
    assert hit.any(axis=2).mean() == pytest.approx(0.03, rel=0.1)
    assert (hit.all(axis=2) == hit.any(axis=2)).all(), "over all channels of a pixel"
    for one in (gaussian, impulses, uniform):
        noisy = one(photograph, 0)
        assert 0 <= noisy.min() <= noisy.max() <= 1
    drawn = {
        str(noise.make(" | ".join(restoration_config.NOISES)).draw(np.random.default_rng(seed))) for seed in range(30)
    }
    assert drawn == set(restoration_config.NOISES)


@pytest.mark.parametrize("model", list(SMALL))
def test_a_config_is_shown_trained_and_tested(here: Path, unnoise: Call, model: str) -> None:
    name = restoration_config.MODELS[model]
    config = write({**FULL, "model": model, "save_weight_path": f"kept/{name}", "epoches": 2})
    output = unnoise("train", str(config), SMALL[model], "validation.patches=2")
    shown, _, path = output.rstrip().rpartition("\n")
    assert path == f"kept/{name}/{name}.safetensors"
    stored = recipes.load(f"kept/{name}/recipe.yaml")
    assert recipes.load(yaml.safe_load(shown), {"train.precision": stored.train.precision}) == stored
    log = [json.loads(line) for line in Path(f"kept/{name}/log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == pytest.approx([1.125, 2.25])  # 8 pictures, three a step
    parts = {"loss", "l1", "ssim", "tv", *(["kl"] if model == "VAE" else [])}
    for line in log:
        assert parts | {f"validation_{part}" for part in parts} <= set(line)
    assert Path(f"kept/{name}/losses.png").read_bytes().startswith(b"\x89PNG")
    table = unnoise("train", str(config), "mode=test", f"load_weight_path=kept/{name}").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table[2:]]
    assert rows == [
        [who, "stl10:stl10_binary#test", spec.replace("|", r"\|")]
        for spec in restoration_config.NOISES
        for who in ("input", name)
    ]


def test_the_input_is_measured_beside_the_model(here: Path) -> None:
    card = Card(name="some", network="unet:width=1", channels=3, noise="")
    pytorch.save(networks.make(card.network), card, Path("some.safetensors"))
    rows = api.measure({**PAGE, "mode": "test", "load_weigth_path": "some.safetensors"})
    for before, after in zip(rows[::2], rows[1::2], strict=True):
        assert (before.noise, before.images) == (after.noise, 2)
        assert before.psnr == before.psnr_noisy == after.psnr_noisy
        assert 0 < before.ssim < 1
    assert 19 < rows[0].psnr < 22, "Gaussian of deviation 0.1"


def test_a_state_dict_is_begun_from_and_measured(here: Path) -> None:
    torch.manual_seed(1)
    network = networks.make("unet:width=1")
    torch.save(network.state_dict(), "old.pt")
    changes = {"network": "unet:width=1", "train.learning_rate": 1e-12, "validation.patches": 0, "epoches": 1}
    trained = api.train({**FULL, "load_weigth_path": "old.pt"}, changes, out="run")
    kept, card = pytorch.load(trained)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[name], value)
    assert card.trained.startswith("weights of old.pt, then 3 steps")
    rows = [
        api.measure(PAGE, {**changes, "mode": "test", "load_weight_path": str(path)}) for path in ("old.pt", trained)
    ]
    assert [row.psnr for row in rows[0]] == pytest.approx([row.psnr for row in rows[1]], abs=0.01)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.save({"weight": Hostile("harm")}, "w.pt"),
            "'w.pt' cannot be loaded: it is corrupt, or contains more than weights",
        ),
        (lambda: Path("w.pt").write_bytes(b"no file of PyTorch"), "'w.pt' cannot be loaded"),
        (lambda: Path("w.pt").write_bytes(b""), "'w.pt' cannot be loaded"),
        (lambda: torch.save([torch.zeros(1)], "w.pt"), "'w.pt' contains no weights"),
        (lambda: torch.save({"epoch": 3}, "w.pt"), "'w.pt' contains no weights"),
        (lambda: torch.save({"weight": torch.zeros(1)}, "w.pt"), "the weights in 'w.pt' do not fit the network unet"),
        (lambda: None, "cannot read the weights 'w.pt': No such file"),
    ],
)
def test_weights_are_never_unpickled(here: Path, make: Callable[[], Any], message: str, mode: str) -> None:
    make()
    config = {**PAGE, "mode": mode, "load_weigth_path": "w.pt"}
    with pytest.raises(UnnoiseError) as caught:
        (api.train if mode == "train" else api.measure)(config, {"network": "unet:width=1"})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not Path("harm").exists()


def test_a_hostile_file_would_do_harm(here: Path) -> None:
    torch.save({"weight": Hostile("harm")}, "w.pt")
    torch.load("w.pt", weights_only=False)
    assert Path("harm").is_dir()


def test_an_unavailable_device_is_reported(here: Path, unnoise: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = write({**FULL, "device": "cuda"})
    output = unnoise("train", str(config), SMALL["U-net"], status=2)
    assert "device 'cuda' is not available to PyTorch" in output
    assert not Path("runs").exists()
    with pytest.raises(UnnoiseError, match="is not available to PyTorch"):
        api.train(FULL, {"device": "cuda", "network": "unet:width=1"})


def test_a_device_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [pytorch.device(one) for one in (None, "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


def test_mode_test_points_to_measure(here: Path) -> None:
    with pytest.raises(UnnoiseError, match=r"call unnoise\.api\.measure"):
        api.train({**PAGE, "mode": "test", "load_weigth_path": "w.pt"})
    for config in (PAGE, restoration_config.read(PAGE).recipe):
        with pytest.raises(UnnoiseError, match="only a config"):
            api.measure(config)


def test_missing_data_is_reported(here: Path, unnoise: Call) -> None:
    Path("data/stl10_binary/train_X.bin").unlink()
    assert "cannot read 'data/stl10_binary/train_X.bin'" in unnoise("train", str(write(FULL)), status=2)


def test_a_resumed_vae_ends_as_an_unbroken_one(here: Path) -> None:
    recipe = recipes.load({**FULL, "model": "VAE"}, {"network": "vae:code=3,width=1", "epoches": 2})

    def stop(event: ProgressEvent) -> None:
        raise KeyboardInterrupt

    quick = {"train.checkpoint_every": 1, "validation.every": 2, "validation.patches": 0, "train.precision": "fp32"}
    recipe = recipes.load(recipe.model_dump(), quick)
    whole = trainer.train(recipe, "whole")
    with pytest.raises(KeyboardInterrupt):
        trainer.train(recipe, "broken", on_progress=stop)
    torch.rand(7)
    broken = trainer.train(recipe, "broken", resume=True)
    weights = [pytorch.load(path)[0].state_dict() for path in (whole, broken)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


@pytest.mark.parametrize("key", ["save_weight_path", "load_weight_path", "load_weigth_path", "device", "epoches"])
def test_none_of_python_is_null(key: str) -> None:
    """A file with `None`, which is no JSON, is read as YAML, where it is text; and so is `key=None` of a command."""
    base = {"model": "U-net", "dataset": "STL10"}
    expected = restoration_config.read(base)
    assert restoration_config.read({**base, key: "None"}) == expected
    assert restoration_config.read(base, {key: "None"}) == expected
