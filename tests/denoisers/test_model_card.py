"""Cards in files of others: values that no network can have are refused in a line at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unnoise import denoisers
from unnoise.denoisers.model_card import KEY, Card
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError

GOOD: dict[str, Any] = {"name": "a", "network": "dncnn", "channels": 3, "noise": "gaussian:25"}


def test_cards_of_the_bundled_models_are_valid() -> None:
    for path in denoisers.bundled_models().values():
        card = Onnx(path, threads=1).card
        assert Card.from_metadata(card.to_metadata(), "a") == card


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("multiple_of", 0),
        ("multiple_of", -8),
        ("multiple_of", 10**9),
        ("multiple_of", 1.5),
        ("margin", 10**9),
        ("margin", -1),
        ("margin", None),
        ("halo", -5),
        ("halo", "5"),
        ("reach", 10**12),
        ("channels", 0),
        ("channels", True),
        ("wants_sigma", "yes"),
        ("name", ["a"]),
        ("noise", None),
        ("scores", [1]),
        ("scores", {"a": "b"}),
        ("error_model", {"x": [1]}),
        ("error_model", {"3": [1e999]}),
    ],
)
def test_impossible_values_are_refused(field: str, value: Any) -> None:
    with pytest.raises(UnnoiseError, match=f"'a.onnx' is not a usable model: on its card, .*{field}") as error:
        Card.from_metadata({KEY: json.dumps({**GOOD, field: value})}, "a.onnx")
    assert len(str(error.value)) < 200 and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[1]", "null", "{}", '{"name": 3'])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(UnnoiseError, match="has no valid card"):
        Card.from_metadata({KEY: text}, "a.onnx")
