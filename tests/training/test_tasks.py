"""Tasks: the network's input and target of each, and that the minimum of the loss is where theory says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch  # noqa: TID253

from unnoise.errors import UnnoiseError
from unnoise.networks import Network
from unnoise.training import losses
from unnoise.training.tasks import TASKS, Task
from unnoise.training.tasks.neighbor2neighbor import draw_neighbors, take
from unnoise.training.tasks.noise2void import Noise2Void

SIGMA = 0.1
BLIND = [
    *("noise2void", "noise2void:fill=median", "noise2void:cell=3", "noise2void:hide=row", "noise2void:hide=column"),
    *("noise2void:hide=row,reach=3,fill=median", "noise2void:hide=column,reach=2"),
]
SINGLE = ["neighbor2neighbor", *BLIND]


class Function(Network):
    """A network that applies a function, and keeps its inputs."""

    name: ClassVar[str] = "function"

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.channels, self.function = 1, function
        self.shown: list[torch.Tensor] = []

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        self.shown.append(noisy)
        return self.function(noisy)


def step(
    task: str | Task, network: Network, seed: int = 0, loss: str = "mse", **batch: torch.Tensor
) -> dict[str, float]:
    """Take a step with a seed; return its values."""
    torch.manual_seed(seed)
    level = torch.full((len(batch["noisy"]), 1, 1, 1), torch.nan)
    values = TASKS.make(task).step(network, losses.make("mse"), {**batch, "sigma": level})
    return {key: value.item() for key, value in values.items()}


def flat(*, batch: int = 8, side: int = 64, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Return pictures of 0.5 with white noise of SIGMA."""
    torch.manual_seed(seed)
    return 0.5 + SIGMA * torch.randn(batch, channels, side, side)


@pytest.mark.parametrize("spec", [*SINGLE, "noise2noise", "supervised"])
def test_a_task_is_spelt_as_it_was_made(spec: str) -> None:
    assert str(TASKS.make(str(TASKS.make(spec)))) == str(TASKS.make(spec))


@pytest.mark.parametrize("name", list(TASKS))
def test_a_step_returns_the_loss_and_scalars(name: str) -> None:
    """The contract of all tasks, those of installed packages included."""
    task, shown = TASKS.make(name), Function(lambda noisy: noisy * torch.ones(1, requires_grad=True))
    noisy = flat()
    batch = {"noisy": noisy, "clean": torch.full_like(noisy, 0.5), "second": flat(seed=1)}
    values = task.step(shown, losses.make("mse"), {**batch, "sigma": torch.full((8, 1, 1, 1), SIGMA)})
    assert task.target in ("clean", "second", "none") and task.judged in values
    assert values["loss"].requires_grad and all(one.ndim == 0 and torch.isfinite(one) for one in values.values())
    assert str(TASKS.make(str(task))) == str(task)
    side = noisy.shape[2] // task.shrinks
    assert shown.shown[0].shape[1:] == (1, side, side)


@pytest.mark.parametrize(
    "spec", ["noise2void:cell=2", "noise2void:cell=2.5", "noise2void:fill=mean", "noise2void:hide=rows",
             "noise2void:reach=-1", "neighbor2neighbor:-1"],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UnnoiseError, match=spec.partition(":")[0]):
        TASKS.make(spec)


@pytest.mark.parametrize("spec", SINGLE)
def test_the_truth_is_judged_at_the_noise_and_the_input_at_twice_that(spec: str) -> None:
    truth = step(spec, Function(lambda noisy: torch.full_like(noisy, 0.5)), noisy=flat())
    judged = truth[TASKS.make(spec).judged]
    assert judged == pytest.approx(SIGMA**2, rel=0.1)
    assert truth["input"] == pytest.approx(2 * SIGMA**2, rel=0.1)


@pytest.mark.parametrize("spec", [spec for spec in SINGLE if "median" not in spec])
def test_noisy_pixels_left_as_they_are_win_nothing(spec: str) -> None:
    values = step(spec, Function(lambda noisy: noisy), noisy=flat())
    assert values[TASKS.make(spec).judged] == pytest.approx(2 * SIGMA**2, rel=0.1)


@pytest.mark.parametrize("spec", BLIND)
def test_what_is_hidden_is_not_shown(spec: str) -> None:
    task = TASKS.make(spec)
    assert isinstance(task, Noise2Void)
    noisy = flat(channels=2)
    torch.manual_seed(7)
    judged, hidden = task.blind_spots(noisy)
    other = torch.where(hidden[:, None], torch.rand_like(noisy) + 5, noisy)
    network = Function(lambda shown: shown)
    step(task, network, 7, noisy=noisy)
    values = step(task, network, 7, noisy=other)
    first, second = network.shown
    assert torch.equal(first, second), "what is shown does not depend on what is hidden"
    assert torch.equal(first.permute(0, 2, 3, 1)[~hidden], noisy.permute(0, 2, 3, 1)[~hidden])
    assert (judged & ~hidden).sum() == 0
    assert values["blind"] > 20, "what is judged is what is hidden"


@pytest.mark.parametrize(
    ("spec", "share", "of_it"),
    [("noise2void", 1 / 16, 1), ("noise2void:cell=8", 1 / 64, 1), ("noise2void:hide=row", 1 / 4, 1),
     ("noise2void:hide=row,reach=1", 1 / 16, 1 / 3)],
)  # fmt: skip
def test_how_much_is_hidden_and_judged(spec: str, share: float, of_it: float) -> None:
    task = TASKS.make(spec)
    assert isinstance(task, Noise2Void)
    torch.manual_seed(0)
    judged, hidden = task.blind_spots(torch.zeros(8, 1, 48, 48))
    assert hidden.float().mean().item() == pytest.approx(share, rel=0.1)
    assert judged.sum().item() == pytest.approx(of_it * hidden.sum().item(), rel=0.05)


def test_rows_are_hidden_whole_and_columns_are_rows_turned() -> None:
    torch.manual_seed(0)
    rows, columns = (TASKS.make(f"noise2void:hide={name}") for name in ("row", "column"))
    assert isinstance(rows, Noise2Void) and isinstance(columns, Noise2Void)
    hidden = rows.blind_spots(torch.zeros(4, 1, 32, 40))[1]
    assert torch.equal(hidden.all(dim=2), hidden.any(dim=2))
    assert (hidden[:, :, 0].reshape(4, 8, 4).sum(dim=2) == 1).all(), "one in four"
    turned = columns.blind_spots(torch.zeros(4, 1, 32, 40))[1]
    assert torch.equal(turned.all(dim=1), turned.any(dim=1))


def test_the_median_is_that_of_visible_pixels_around() -> None:
    task = Noise2Void(fill="median", cell=5)
    noisy = flat(batch=1, side=20)
    network = Function(lambda shown: shown)
    torch.manual_seed(3)
    hidden = task.blind_spots(noisy)[1][0].numpy()
    step(task, network, 3, noisy=noisy)
    picture, shown = noisy[0, 0].numpy(), network.shown[0][0, 0].numpy()
    padded, seen = np.pad(picture, 2, mode="reflect"), np.pad(~hidden, 2, mode="reflect")
    for row, column in np.argwhere(hidden):
        around = np.s_[row : row + 5, column : column + 5]
        values = np.sort(padded[around][seen[around]])
        assert shown[row, column] == values[(len(values) - 1) // 2]


def test_neighbours_touch_and_all_eight_ways_occur() -> None:
    torch.manual_seed(0)
    places = torch.arange(4.0).reshape(1, 1, 2, 2).repeat(1, 1, 32, 32)
    first, second = (take(places, place).flatten().int().tolist() for place in draw_neighbors(places))
    touching = {(0, 1), (2, 3), (0, 2), (1, 3)}
    assert set(zip(first, second, strict=True)) == touching | {pair[::-1] for pair in touching}


def test_neighbours_are_taken_alike_from_all_channels_at_half_the_size() -> None:
    picture = torch.rand(2, 1, 8, 6)
    both = torch.cat([picture, picture + 1], dim=1)
    place, _ = draw_neighbors(both)
    taken = take(both, place)
    assert taken.shape == (2, 2, 4, 3)
    assert torch.equal(taken[:, 1], taken[:, 0] + 1)
    for b, y, x in itertools.product(range(2), range(4), range(3)):
        row, column = divmod(int(place[b, 0, y, x]), 2)
        assert taken[b, 0, y, x] == picture[b, 0, 2 * y + row, 2 * x + column]


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_loss_of_neighbor2neighbor_is_that_of_the_paper(gamma: float) -> None:
    noisy = flat(batch=2, side=16)
    values = step(f"neighbor2neighbor:{gamma}", Function(lambda shown: shown.square()), 5, noisy=noisy)
    torch.manual_seed(5)
    one, two = draw_neighbors(noisy)
    difference = take(noisy, one) ** 2 - take(noisy, two)
    allowed = take(noisy**2, one) - take(noisy**2, two)
    expected = difference.square().mean() + gamma * (difference - allowed).square().mean()
    assert values["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_no_gradient_flows_through_the_whole_picture() -> None:
    gain = torch.ones(1, requires_grad=True)
    noisy = flat(batch=1, side=16)
    torch.manual_seed(5)
    one, two = draw_neighbors(noisy)
    prediction = gain * take(noisy, one)
    allowed = (take(noisy, one) - take(noisy, two)).detach()
    difference = prediction - take(noisy, two)
    expected = torch.autograd.grad(difference.square().mean() + (difference - allowed).square().mean(), gain)[0]
    torch.manual_seed(5)
    batch = {"noisy": noisy, "sigma": torch.zeros(1, 1, 1, 1)}
    values = TASKS.make("neighbor2neighbor").step(Function(lambda shown: gain * shown), losses.make("mse"), batch)
    torch.testing.assert_close(torch.autograd.grad(values["loss"], gain)[0], expected)


def test_two_shots_have_their_minimum_where_the_truth_has_it() -> None:
    """Of all gains, that of Wiener's filter: var(x) / (var(x) + var(n))."""
    torch.manual_seed(0)
    clean = 0.2 * torch.randn(16, 1, 64, 64)
    shots = {key: clean + SIGMA * torch.randn_like(clean) for key in ("noisy", "second")}
    gains = np.linspace(0.5, 1.1, 61)
    found = [step("noise2noise", Function(lambda shown, a=a: a * shown), **shots)["loss"] for a in gains]
    assert gains[int(np.argmin(found))] == pytest.approx(0.04 / (0.04 + SIGMA**2), abs=0.015)
    left = step("noise2noise", Function(lambda shown: shown), **shots)
    assert left["pair"] == left["input"] == pytest.approx(2 * SIGMA**2, rel=0.02)


def test_both_shots_are_learned_from() -> None:
    shots = {"noisy": torch.zeros(64, 1, 8, 8), "second": torch.ones(64, 1, 8, 8)}
    network = Function(lambda shown: shown)
    assert step("noise2noise", network, **shots)["pair"] == 1
    assert 0.2 < network.shown[0].mean().item() < 0.8
