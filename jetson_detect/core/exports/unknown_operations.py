"""What to do about operations that another format has not."""

from __future__ import annotations

from collections.abc import Iterable

_REMEDIES = {
    "CombinedNonMaxSuppression": (
        "write tf.image.combined_non_max_suppression as "
        "tf.raw_ops.NonMaxSuppressionV5(pad_to_max_output_size=True) for each class, or export "
        "the network without suppression"
    ),
    "NonMaxSuppressionV2": "use tf.raw_ops.NonMaxSuppressionV5(pad_to_max_output_size=True)",
    "NonMaxSuppressionV3": "use tf.raw_ops.NonMaxSuppressionV5(pad_to_max_output_size=True)",
    "DecodeJpeg": "export from the decoded picture on",
    "DecodeImage": "export from the decoded picture on",
}


def remedies_for(operations: Iterable[str]) -> str:
    """Say what to do about operations, by their names in TensorFlow."""
    known = [_REMEDIES[name] for name in sorted(set(operations)) if name in _REMEDIES]
    return "; ".join(known) or "express them by others in the model, or export it in another format"
