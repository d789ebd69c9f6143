"""What goes wrong in an export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from jetson_detect.core.backends.base import BackendError
from jetson_detect.core.backends.refusals import reason
from jetson_detect.core.model import ModelFile


class ExportError(RuntimeError):
    """A file that cannot be written; the message names the source, the reason and the remedy."""


def import_exporter(module: str, remedy: str) -> Any:
    """Import what an export needs.

    Raises
    ------
    ExportError
        If that fails, whatever the reason.

    """
    try:
        return import_module(module)
    except Exception as error:  # a library that does not fit this NumPy raises almost anything
        raise ExportError(f"{module} cannot be imported ({reason(error)}); {remedy}") from error


@contextmanager
def refusing(source: ModelFile, what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises into an :class:`ExportError`.

    Parameters
    ----------
    source:
        The file that is exported.
    what:
        What fails then, as ``cannot be frozen``.
    remedy:
        What to do.

    """
    try:
        yield
    except ExportError:
        raise
    except BackendError as error:  # says all of it already
        raise ExportError(str(error)) from error
    except Exception as error:  # converters raise whatever their hundred passes raise
        raise ExportError(f"{source.path}: {what}: {reason(error)}; {remedy}") from error
