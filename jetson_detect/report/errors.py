"""Why a report cannot be made."""

from __future__ import annotations


class ReportError(RuntimeError):
    """A library that the report needs is missing, or its file cannot be written."""
