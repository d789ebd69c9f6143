"""A head's options: the keys under ``head`` of model.yaml beside ``type`` and ``outputs``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from jetson_detect.core.model import ModelError, ModelSpec

Choice = TypeVar("Choice", bound=Enum)


class HeadOptions:
    """Reads options one by one; :meth:`close` refuses those that nobody has read.

    Every method raises :class:`~jetson_detect.core.model.ModelError` with file, key, value and
    remedy where a value does not fit, and returns the default where the key is missing.
    """

    def __init__(
        self, model: ModelSpec, options: Mapping[str, Any] | None = None, path: str = "head"
    ) -> None:
        """Read the options of a model's head, or of a mapping found at ``path`` in it."""
        self._model = model
        self._unread = dict(model.head.options if options is None else options)
        self._known: list[str] = []
        self._path = path

    def read(self, key: str) -> Any:
        """Any value; None where the key is missing."""
        self._known.append(key)
        return self._unread.pop(key, None)

    def choice(self, key: str, default: Choice) -> Choice:
        """One of the values of the default's enumeration."""
        value = self.read(key)
        if value is None:
            return default
        kind = type(default)
        try:
            return kind(value)
        except ValueError:
            raise self._model.error(
                f"{self._path}.{key}",
                f"'{value}' is not known",
                f"use one of {', '.join(choice.value for choice in kind)}",
            ) from None

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.read(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, value, "use true or false")
        return value

    def integer(self, key: str, default: int) -> int:
        """A whole number."""
        value = self.read(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, value, "use a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self.read(key)
        if value is None:
            return default
        return self._numbers(key, [value], 1)[0]

    def numbers(
        self, key: str, default: Sequence[float], count: int | None = None
    ) -> tuple[float, ...]:
        """A list of finite numbers above 0; ``count`` of them, or at least one."""
        value = self.read(key)
        if value is None:
            return tuple(default)
        numbers = self._numbers(key, value, count)
        if min(numbers) <= 0:
            raise self.error(key, value, "every number must be above 0")
        return numbers

    def section(self, key: str) -> HeadOptions | None:
        """A mapping with options of its own, to be closed too; None where the key is missing."""
        value = self.read(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, value, "use a mapping")
        return HeadOptions(self._model, value, f"{self._path}.{key}")

    def close(self) -> None:
        """Refuse the options that are left."""
        if self._unread:
            remedy = f"use {', '.join(self._known)}" if self._known else "this head has no options"
            raise self._model.error(
                self._path, f"unknown key {', '.join(map(repr, self._unread))}", remedy
            )

    def error(self, key: str, value: Any, remedy: str) -> ModelError:
        """Make an error about an option's value."""
        return self._model.error(f"{self._path}.{key}", f"{value!r} does not fit", remedy)

    def _numbers(self, key: str, value: Any, count: int | None) -> tuple[float, ...]:
        wanted = {None: "a list of numbers", 1: "a number"}.get(count, f"a list of {count} numbers")
        if not isinstance(value, list) or not value or count not in (None, len(value)):
            raise self.error(key, value, f"use {wanted}")
        for number in value:
            is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
            if not is_number or not math.isfinite(number):
                raise self.error(key, value, f"use {wanted}, all finite")
        return tuple(float(number) for number in value)
