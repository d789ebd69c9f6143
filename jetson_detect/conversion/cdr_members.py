"""The members of a serialised message, read one after the other; bytes are viewed, not copied."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.pixels import PixelError

ENCAPSULATION_BYTES = 4
BYTE_ORDERS = {b"\0\0": ">", b"\0\1": "<"}
"""CDR_BE and CDR_LE by the representation identifier in front; the options after it say nothing
that is needed.  Every member that is read here has at most 4 bytes, so that XCDR1 aligns to 4.  See
the DDS-XTypes specification (formal/20-02-04), 7.4 and 7.6.3.1.2."""


def read_identifier(raw: memoryview, what: str, remedy: str = "") -> bytes:
    """Return the representation identifier, a key of :data:`BYTE_ORDERS`.

    Parameters
    ----------
    raw:
        A whole message, the encapsulation header included.
    what:
        What it is called in errors: ``image``.
    remedy:
        What to do about another encapsulation.

    Raises
    ------
    PixelError
        If it is not plain CDR.

    """
    identifier = bytes(raw[:2])
    if identifier not in BYTE_ORDERS:
        raise PixelError(
            f"a serialised {what} of {len(raw)} bytes begins with 0x{identifier.hex()}; known are "
            f"0x0000 and 0x0001 (plain CDR){remedy and f': {remedy}'}"
        )
    return identifier


def read_numbers(
    raw: memoryview, place: int, form: struct.Struct, what: str, name: str
) -> tuple[tuple[int, ...], int]:
    """Read numbers at the next multiple of 4; return them and where they end.

    Raises
    ------
    PixelError
        If the message is over before, as with the other members.

    """
    place += -place % 4
    end = place + form.size
    if end > len(raw):
        raise _too_short(raw, what, name)
    return form.unpack_from(raw, place), end


def read_text(raw: memoryview, place: int, length: int, what: str, name: str) -> tuple[str, int]:
    """Read a string, which is over at its first zero; return it and where its bytes end."""
    end = place + length
    if end > len(raw):
        raise _too_short(raw, what, name)
    text, _, _ = bytes(raw[place:end]).partition(b"\0")
    # As rclpy does with what is not UTF-8.
    return text.decode(errors="replace"), end


def view_bytes(raw: memoryview, place: int, length: int, what: str, name: str) -> NDArray[np.uint8]:
    """View bytes, (length,), which keep the message alive."""
    if length > len(raw) - place:
        raise PixelError(
            f"a serialised {what} announces {length} bytes of {name}, but {len(raw) - place} follow"
        )
    return np.frombuffer(raw[place : place + length], np.uint8)


def _too_short(raw: memoryview, what: str, name: str) -> PixelError:
    return PixelError(f"a serialised {what} is over after {len(raw)} bytes, within its {name}")
