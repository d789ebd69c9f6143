"""What goes wrong with ONNX graphs."""

from __future__ import annotations


class OnnxGraphError(RuntimeError):
    """A graph that cannot be worked on as asked; the message names tensor or node and remedy."""
