"""The spec language for noises, losses, networks and the like, and the registries of their names.

    gaussian:25                      a name and its first argument
    dncnn:depth=17,channels=1        named arguments
    gaussian:0..55                   a range: one value is drawn from it per image
    resunet:widths=32/64/128         a list of values
    poisson:30 + gaussian:10 + clip  a sequence
    gaussian:25 | salt-pepper:0.03   alternatives, drawn per image
    0.8*l1 + 0.2*ssim                a weighted sum (losses)

The same text is used as an argument of a command, a value in a recipe, a heading in a table and in a model file:
`make(str(x)) == x`. An object with a spec keeps each constructor argument as an attribute of the same name, which
`format_spec` reads. `|` binds weaker than `+`, and `+` weaker than `*`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from unnoise.errors import UnnoiseError

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)"  # a sign inside an exponent is not `+`
    r"|(?P<word>[A-Za-z_]\w*(?:-\w+)*)"
    r"|(?P<sign>\.\.|[:,=/+|*]))"
)
T = TypeVar("T")

_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, written `low..high`; one is drawn for each image."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Reject an empty range."""
        if self.low > self.high:
            raise UnnoiseError(f"the range {self} is empty: write the smaller number first")

    def __str__(self) -> str:
        """Return the range as written in a spec."""
        return f"{_format_value(self.low)}..{_format_value(self.high)}"

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value, uniformly."""
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class Call:
    """One parsed term, `weight*name:arguments,key=value`."""

    name: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    weight: float = 1.0


def parse(text: str) -> list[list[Call]]:
    """Parse a spec to a list of alternatives (`|`), each a list of terms (`+`).

    Raises:
        UnnoiseError: syntax error.
    """
    return _Parser(text).alternatives()


def format_spec(thing: HasSpec) -> str:
    """Return the shortest spec of an object.

    Arguments with their default value are left out; the first positional argument is written without its name.
    """
    bare, named = "", []
    for position, parameter in enumerate(_arguments(type(thing)).values()):
        value = getattr(thing, parameter.name)
        if value == parameter.default:
            continue
        if position == 0 and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            bare = _format_value(value)
        else:
            named.append(f"{parameter.name}={_format_value(value)}")
    arguments = ",".join([bare, *named] if bare else named)
    return f"{thing.name}:{arguments}" if arguments else thing.name


class HasSpec:
    """An object with a spec, which `str` returns."""

    name: ClassVar[str]

    def __str__(self) -> str:
        """Return the spec."""
        return format_spec(self)


@dataclass(frozen=True)
class Argument:
    """One argument of a member.

    Attributes:
        name: name of the argument.
        default: default as written in a spec; None if the argument is required.
        keyword_only: whether it has to be given by name.
    """

    name: str
    default: str | None
    keyword_only: bool = False


@dataclass(frozen=True)
class Member:
    """What a registry knows about one of its names.

    Attributes:
        name: name in a spec.
        summary: first sentence of the docstring of its class.
        arguments: arguments of its constructor, in order.
        package: distribution that provides it by an entry point; "" for members of this package.
    """

    name: str
    summary: str
    arguments: tuple[Argument, ...] = ()
    package: str = ""

    @property
    def spec(self) -> str:
        """The spec with every default; required arguments are in capitals: `nlm:strength=1`, `gaussian:SIGMA`."""
        texts = [a.name.upper() if a.default is None else f"{a.name}={a.default}" for a in self.arguments]
        return f"{self.name}:{','.join(texts)}" if texts else self.name


class Registry(Generic[T]):
    """The names of one kind of object and the locations of their classes, which are imported when needed.

    Other packages add members by entry points of the group `unnoise.KINDs` ("unnoise.noises", "unnoise.losses").
    They are looked up only when a name is unknown and when names are listed; the names of this package come first.

    Args:
        kind: kind of the members, for messages ("noise").
        members: name -> "module:Class".
        join: combines weighted terms to one object, `join([(weight, object), ...])`; None if `+` is not supported.
        choose: combines alternatives to one object; None if `|` is not supported.
    """

    def __init__(
        self,
        kind: str,
        members: dict[str, str],
        *,
        join: Callable[[list[tuple[float, T]]], T] | None = None,
        choose: Callable[[list[T]], T] | None = None,
    ) -> None:
        self.kind = kind
        self.group = f"unnoise.{kind}{'es' if kind.endswith('s') else 's'}"
        self.members = members
        self._join = join
        self._choose = choose

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names, sorted, those of plug-ins included."""
        return iter(sorted({*self.members, *self._plugins()}))

    def __contains__(self, name: object) -> bool:
        """Return whether there is a member of that name; plug-ins are searched only if this package has none."""
        return name in self.members or name in self._plugins()

    def find(self, name: str) -> type[T]:
        """Return the class behind a name, importing its module.

        Raises:
            UnnoiseError: there is no such member, or a plug-in cannot be loaded.
        """
        if name in self.members:
            module, _, attribute = self.members[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        plugin = self._plugins().get(name)
        if plugin is None:
            raise UnnoiseError(unknown(self.kind, name, self))
        try:
            member = plugin.load()
        except Exception as error:  # the code of another package can raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            package = _package(plugin)
            raise UnnoiseError(f"{self.kind} '{name}' of package {package} cannot be loaded: {reason}") from error
        if not isinstance(member, type):
            raise UnnoiseError(f"{self.kind} '{name}' of package {_package(plugin)} is not a class: {plugin.value}")
        return member

    def describe(self, name: str) -> Member:
        """Return the arguments and the summary of a member.

        Raises:
            UnnoiseError: as `find`.
        """
        cls = self.find(name)
        arguments = tuple(
            Argument(
                key,
                None if parameter.default is parameter.empty else _format_value(parameter.default),
                parameter.kind is parameter.KEYWORD_ONLY,
            )
            for key, parameter in _arguments(cls).items()
        )
        package = "" if name in self.members else _package(self._plugins()[name])
        return Member(name, _first_sentence(cls), arguments, package)

    def _plugins(self) -> dict[str, importlib.metadata.EntryPoint]:
        """Return the entry points of this kind by name; of several with one name, that of the first package."""
        found = sorted(importlib.metadata.entry_points(group=self.group), key=_package, reverse=True)
        return {entry.name: entry for entry in found}

    def make(self, spec: str | T) -> T:
        """Return the object that a spec describes; an object is returned as it is.

        Raises:
            UnnoiseError: the spec is invalid or contains an unknown name.
        """
        if not isinstance(spec, str):
            return spec
        options = [self._chain(terms, spec) for terms in parse(spec)]
        if len(options) == 1:
            return options[0]
        if self._choose is None:
            raise UnnoiseError(f"'|' is not supported in a {self.kind}: '{spec}'")
        return self._choose(options)

    def _chain(self, terms: list[Call], spec: str) -> T:
        weighted = [(term.weight, self._call(term)) for term in terms]
        if len(weighted) == 1 and weighted[0][0] == 1:
            return weighted[0][1]
        if self._join is None:
            raise UnnoiseError(f"'+' and '*' are not supported in a {self.kind}: '{spec}'")
        return self._join(weighted)

    def _call(self, term: Call) -> T:
        cls = self.find(term.name)
        parameters = _arguments(cls)
        for key, _ in term.options:
            if key not in parameters:
                raise UnnoiseError(unknown(f"option of {term.name}", key, parameters))
        try:
            return cls(*term.arguments, **dict(term.options))
        except TypeError as error:  # a missing or surplus argument, in Python's words
            accepted = ", ".join(parameters) or "none"
            raise UnnoiseError(f"{self.kind} '{term.name}': {error} (arguments: {accepted})") from error


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown name, which suggests the closest known one, or lists all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    offer = f"did you mean '{near[0]}'?" if near else f"choose one of: {', '.join(names) or 'none'}"
    return f"unknown {kind} '{name}': {offer}"


def _package(plugin: importlib.metadata.EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.module


def _first_sentence(cls: type) -> str:
    paragraph = " ".join((inspect.cleandoc(cls.__doc__ or "")).partition("\n\n")[0].split())
    return re.split(r"(?<=\.)(?<! al\.)\s+(?=[A-Z])", paragraph, maxsplit=1)[0]


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a constructor."""
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {key: one for key, one in inspect.signature(cls).parameters.items() if one.kind not in rest}


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_format_value, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


class _Parser:
    """Recursive descent parser for a spec."""

    def __init__(self, text: str) -> None:
        self.text = text = " ".join(text.split())  # one line, for the messages
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise UnnoiseError(f"cannot read '{text}': '{text[position:].strip()}' is not understood")
            self.tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            position = match.end()
        self.position = 0

    def alternatives(self) -> list[list[Call]]:
        found = [self.terms()]
        while self.take("|"):
            found.append(self.terms())
        if self.position < len(self.tokens):
            raise self.expected("'+', '|' or the end")
        return found

    def terms(self) -> list[Call]:
        found = [self.term()]
        while self.take("+"):
            found.append(self.term())
        return found

    def term(self) -> Call:
        weight = 1.0
        if self.peek()[0] == "number":
            weight = float(self.number())
            if not self.take("*"):
                raise self.expected("'*' after a weight")
        name, arguments, options = self.next("word"), [], []
        if self.take(":"):
            while True:
                if self.peek()[0] == "word" and self.peek(1) == ("sign", "="):
                    key = self.next("word")
                    if key in dict(options):
                        raise UnnoiseError(f"cannot read '{self.text}': '{key}' is given twice")
                    self.take("=")
                    options.append((key, self.value()))
                elif options:
                    raise self.expected("key=value")
                else:
                    arguments.append(self.value())
                if not self.take(","):
                    break
        return Call(name, tuple(arguments), tuple(options), weight)

    def value(self) -> Any:
        values = [self.atom()]
        while self.take("/"):
            values.append(self.atom())
        return values[0] if len(values) == 1 else tuple(values)

    def atom(self) -> Any:
        if self.peek()[0] == "word":
            word = self.next("word")
            return _WORDS.get(word, word)
        low = self.number()
        return Range(low, self.number()) if self.take("..") else low

    def number(self) -> float:
        text = self.next("number")
        if math.isinf(float(text)):
            raise UnnoiseError(f"cannot read '{self.text}': a number is too large")
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else ("end", "")

    def take(self, sign: str) -> bool:
        taken = self.peek() == ("sign", sign)
        self.position += taken
        return taken

    def next(self, kind: str) -> str:
        if self.peek()[0] != kind:
            raise self.expected({"word": "a name", "number": "a number"}[kind])
        self.position += 1
        return self.tokens[self.position - 1][1]

    def expected(self, what: str) -> UnnoiseError:
        found = f"'{self.peek()[1]}'" if self.peek()[1] else "the end"
        return UnnoiseError(f"cannot read '{self.text}': expected {what}, found {found}")
