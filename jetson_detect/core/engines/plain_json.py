"""JSON with one form for each value: what identities and sidecars are compared and hashed by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

_EXACT = 2**53
"""Above it not every integer is a float."""


def plain(value: Any, where: str, nan_as_null: bool = False) -> Any:
    """Return a copy of a value in types that JSON has, of its own.

    Enums become their values, tuples and arrays lists, NumPy's numbers Python's, and a float
    without a fraction an int: 1 and 1.0 are the same option.

    Args:
        value: mappings with strings for keys, sequences, numbers, strings, None.
        where: the name of what is converted, for errors.
        nan_as_null: whether NaN and infinities become None instead of an error.

    Raises
    ------
    ValueError
        If something has no such form; the message names where it is.

    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _plain_float(value, where, nan_as_null)
    if isinstance(value, Mapping):
        return {
            _key(key, where): plain(entry, f"{where}.{key}", nan_as_null)
            for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(entry, f"{where}[{index}]", nan_as_null) for index, entry in enumerate(value)]
    raise ValueError(
        f"{where}: {value!r} is a {type(value).__name__}, for which JSON has no form: give "
        "numbers, strings, lists and mappings"
    )


def canonical(value: Any) -> str:
    """Write what :func:`plain` returned as JSON: ASCII, keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def _plain_float(value: float, where: str, nan_as_null: bool) -> int | float | None:
    if not math.isfinite(value):
        if nan_as_null:
            return None
        raise ValueError(f"{where}: {value} is no finite number")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _key(key: Any, where: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if not isinstance(key, str):
        raise ValueError(f"{where}: the key {key!r} is no string")
    return key
