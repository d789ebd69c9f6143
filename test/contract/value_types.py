"""What the walker knows about a value of the source that it reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api_facts import Signature

if TYPE_CHECKING:
    from source_tree import ClassInfo, FunctionInfo


@dataclass(frozen=True)
class Plain:
    """Certainly nothing of an API: a number, a path, an array."""


@dataclass(frozen=True)
class Unknown:
    """Could be anything."""


@dataclass(frozen=True)
class Nothing:
    """None."""


@dataclass(frozen=True)
class Truth:
    """A combination of fields of the version table: known for one version."""

    value: bool


@dataclass(frozen=True)
class Text:
    """One of some literal strings."""

    values: frozenset[str]


@dataclass(frozen=True)
class ApiModule:
    """The module ``tensorrt`` or ``pycuda.driver``."""

    api: str


@dataclass(frozen=True)
class ApiClass:
    """A class of an API."""

    api: str
    name: str


@dataclass(frozen=True)
class ApiObject:
    """An instance of a class of an API, or a member of an enum."""

    api: str
    name: str


@dataclass(frozen=True)
class ApiCallable:
    """A method or function of an API that was not called yet."""

    api: str
    name: str
    signatures: tuple[Signature, ...]
    bound: bool = True
    """False for a method that was got from its class, and so wants ``self``."""


@dataclass(frozen=True)
class Many:
    """Something to iterate over."""

    element: Any


@dataclass(frozen=True)
class Table:
    """A mapping."""

    key: Any
    element: Any


@dataclass(frozen=True)
class Row:
    """A tuple of known length."""

    elements: tuple[Any, ...]


@dataclass(frozen=True)
class Maker:
    """Something to call, with what comes back."""

    result: Any


@dataclass(frozen=True)
class Manager:
    """Something for ``with``, with what ``as`` gets."""

    result: Any


@dataclass(frozen=True)
class OwnModule:
    """A module of the project."""

    name: str


@dataclass(frozen=True)
class OwnClass:
    """A class of the project."""

    info: ClassInfo


@dataclass(frozen=True)
class OwnObject:
    """An instance of a class of the project."""

    info: ClassInfo


@dataclass(frozen=True)
class OwnFunction:
    """A function or method of the project."""

    info: FunctionInfo


@dataclass(frozen=True)
class Super:
    """``super()`` in a class of the project."""

    info: ClassInfo


@dataclass(frozen=True)
class Either:
    """One of several."""

    options: frozenset[Any]


PLAIN = Plain()
UNKNOWN = Unknown()
NOTHING = Nothing()

Value = Any
"""One of the classes above."""


def options_of(value: Value) -> tuple[Value, ...]:
    """Return what a value may be."""
    return tuple(value.options) if isinstance(value, Either) else (value,)


def joined(values: Iterable[Value]) -> Value:
    """Return what is one of several values; None does not count beside another."""
    options: set[Value] = set()
    for value in values:
        options.update(options_of(value))
    texts = frozenset(t for option in options if isinstance(option, Text) for t in option.values)
    if any(isinstance(option, Text) for option in options):
        options = {option for option in options if not isinstance(option, Text)} | {Text(texts)}
    if len(options) > 1:
        options -= {NOTHING}
    if len(options) > 1 and any(isinstance(option, Truth) for option in options):
        options = {option for option in options if not isinstance(option, Truth)} | {PLAIN}
    if len(options) > 1 and PLAIN in options and any(isinstance(o, Text) for o in options):
        options = {option for option in options if not isinstance(option, Text)}
    if not options:
        return UNKNOWN
    return next(iter(options)) if len(options) == 1 else Either(frozenset(options))


def carries_api(value: Value) -> bool:
    """Say whether something of an API could be got out of a value."""
    for option in options_of(value):
        if isinstance(option, (ApiModule, ApiClass, ApiObject, ApiCallable)):
            return True
        if isinstance(option, (Many, Table)) and carries_api(option.element):
            return True
        if isinstance(option, Table) and carries_api(option.key):
            return True
        if isinstance(option, Row) and any(carries_api(element) for element in option.elements):
            return True
        if isinstance(option, (Maker, Manager)) and carries_api(option.result):
            return True
    return False
