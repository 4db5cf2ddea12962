"""The spec language: its grammar and messages, and that its output can be parsed again."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from unnoise.denoisers import DENOISERS
from unnoise.errors import UnnoiseError
from unnoise.noise import NOISES
from unnoise.noise.base import chain, choice
from unnoise.spec import Call, HasSpec, Range, Registry, parse


@dataclass(frozen=True)
class Toy(HasSpec):
    name: ClassVar[str] = "toy"
    size: Any = 3
    kind: Any = None
    deep: Any = False


TOYS: Registry[Toy] = Registry("toy", {"toy": f"{__name__}:Toy", "lost": "no.such.module:Lost"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25", 25),
        ("-3", -3),
        ("2.5", 2.5),
        (".5", 0.5),
        ("1e+1", 10.0),
        ("1E-3", 0.001),
        ("-2.5e2", -250.0),
        ("0..55", Range(0, 55)),
        ("-1..-.5", Range(-1, -0.5)),
        ("1e-3..1e+3", Range(0.001, 1000)),
        (" 0 .. 55 ", Range(0, 55)),
        ("32/64/128", (32, 64, 128)),
        ("0..1/2/word", (Range(0, 1), 2, "word")),
        ("true", True),
        ("false", False),
        ("none", None),
        ("half-size", "half-size"),
    ],
)
def test_values(text: str, value: object) -> None:
    read = parse(f"toy:{text}")[0][0].arguments[0]
    assert read == value
    assert type(read) is type(value)  # 25 is a whole number, 1e+1 is none
    assert parse(f"toy:size={text}")[0][0].options == (("size", value),)


a, b, c = Call("a"), Call("b"), Call("c")


@pytest.mark.parametrize(
    ("text", "alternatives"),
    [
        ("a", [[a]]),
        ("salt-pepper", [[Call("salt-pepper")]]),
        ("a:1,2,k=3,l=x", [[Call("a", (1, 2), (("k", 3), ("l", "x")))]]),
        ("a + b", [[a, b]]),
        ("a | b", [[a], [b]]),
        ("a + b | c", [[a, b], [c]]),
        ("a | b + c", [[a], [b, c]]),
        ("a:1e+1 + b", [[Call("a", (10.0,)), b]]),
        ("a:1+b", [[Call("a", (1,)), b]]),
        ("0.5*a + 2 * b | -1*c", [[Call("a", weight=0.5), Call("b", weight=2)], [Call("c", weight=-1)]]),
        ("\ta\n+ b  ", [[a, b]]),
        ("a+b|c", [[a, b], [c]]),
    ],
)
def test_grammar(text: str, alternatives: list[list[Call]]) -> None:
    assert parse(text) == alternatives


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read '': expected a name, found the end"),
        ("a +", "cannot read 'a +': expected a name, found the end"),
        ("a | | b", "cannot read 'a | | b': expected a name, found '|'"),
        ("5", "cannot read '5': expected '*' after a weight, found the end"),
        ("a b", "cannot read 'a b': expected '+', '|' or the end, found 'b'"),
        ("a:", "cannot read 'a:': expected a number, found the end"),
        ("a:1..", "cannot read 'a:1..': expected a number, found the end"),
        ("a:k=1,2", "cannot read 'a:k=1,2': expected key=value, found '2'"),
        ("a:k=1,k=2", "cannot read 'a:k=1,k=2': 'k' is given twice"),
        ("a:1e999", "cannot read 'a:1e999': a number is too large"),
        ("a:(1)", "cannot read 'a:(1)': '(1)' is not understood"),
        ("a\n:?", "cannot read 'a :?': '?' is not understood"),
        ("a:2..1", "the range 2..1 is empty: write the smaller number first"),
    ],
)
def test_syntax_errors_name_the_place(text: str, message: str) -> None:
    with pytest.raises(UnnoiseError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("toi", "unknown toy 'toi': did you mean 'toy'?"),
        ("zebra", "unknown toy 'zebra': choose one of: lost, toy"),
        ("toy:sise=3", "unknown option of toy 'sise': did you mean 'size'?"),
        ("toy | toy", "'|' is not supported in a toy: 'toy | toy'"),
        ("toy + toy", "'+' and '*' are not supported in a toy: 'toy + toy'"),
        ("2*toy", "'+' and '*' are not supported in a toy: '2*toy'"),
    ],
)
def test_what_cannot_be_made(text: str, message: str) -> None:
    with pytest.raises(UnnoiseError) as caught:
        TOYS.make(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["toy:1,2,3,4", "toy:1,size=2"])
def test_surplus_arguments_are_reported_with_the_valid_ones(text: str) -> None:
    with pytest.raises(UnnoiseError, match=r"^toy 'toy': .*\(arguments: size, kind, deep\)$"):
        TOYS.make(text)


@pytest.mark.parametrize(
    ("toy", "text"),
    [
        (Toy(), "toy"),
        (Toy(5), "toy:5"),
        (Toy(5.0), "toy:5"),
        (Toy(kind="soft"), "toy:kind=soft"),
        (Toy((1, 2.5), deep=True), "toy:1/2.5,deep=true"),
        (Toy(None, Range(0, 0.5)), "toy:none,kind=0..0.5"),
        (Toy(1e-7, 1e22), "toy:1e-07,kind=1e+22"),
        (Toy(-0.1), "toy:-0.1"),
    ],
)
def test_spelling_is_short_and_is_read_again(toy: Toy, text: str) -> None:
    assert str(toy) == text
    assert TOYS.make(text) == toy


def test_an_object_is_taken_as_it_is() -> None:
    toy = Toy(4)
    assert TOYS.make(toy) is toy


def test_names_are_sorted_and_modules_are_imported_only_when_needed() -> None:
    assert list(TOYS) == ["lost", "toy"]
    assert TOYS.make("toy") == Toy()
    with pytest.raises(ModuleNotFoundError):
        TOYS.make("lost")


def random_member(registry: Registry[Any], rng: np.random.Generator) -> Any:
    """Make a member of a registry with random arguments, of the kinds that its constructor names."""

    def number() -> float:
        return [int(rng.integers(20)), round(rng.uniform(0, 2), 3), float(10 ** rng.uniform(-6, 18))][rng.integers(3)]

    def argument(kind: str) -> Any:
        if kind in ("bool", "int"):
            return bool(rng.integers(2)) if kind == "bool" else int(rng.integers(20))
        return Range(*sorted([number(), number()])) if "Range" in kind and rng.random() < 0.4 else number()

    cls = registry.find(str(rng.choice(list(registry))))
    while True:
        try:
            return cls(**{key: argument(one.annotation) for key, one in inspect.signature(cls).parameters.items()})
        except UnnoiseError:
            continue  # outside of what it takes


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_made_is_read_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    denoiser = random_member(DENOISERS, rng)
    assert DENOISERS.make(str(denoiser)) == denoiser

    noises = [random_member(NOISES, rng) for _ in range(4)]
    chains = chain([(1, noises[0]), (1, noises[1])]), chain([(1, noises[2]), (1, noises[3])])
    for noise in (*noises, *chains, choice([*chains, noises[0]])):
        assert NOISES.make(str(noise)) == noise
        assert str(NOISES.make(str(noise))) == str(noise)


def test_nonsense_is_read_or_refused_in_one_line(rng: np.random.Generator) -> None:
    pieces = ["a", "b-c", "1", ".5", "-", "..", "1e9", ":", ",", "=", "/", "+", "|", "*", " ", "\n", "?", "é", "'"]
    for _ in range(3000):
        text = "".join(rng.choice(pieces, size=rng.integers(1, 9)))
        try:
            assert parse(text)
        except UnnoiseError as error:
            assert "\n" not in str(error)
