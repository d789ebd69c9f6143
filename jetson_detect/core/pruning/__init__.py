"""Pruning: weights of small magnitude are set to zero while the network is trained on.

Keras is imported when it is used; the modules can be imported without it.
"""

from __future__ import annotations

from jetson_detect.core.pruning.errors import PruningError
from jetson_detect.core.pruning.fine_tuning import PruningProgress, TrainingSetup, prune
from jetson_detect.core.pruning.masks import Pattern
from jetson_detect.core.pruning.options import PruningOptions
from jetson_detect.core.pruning.prune_file import PruningFiles, prune_file
from jetson_detect.core.pruning.report import KernelReport, ModelSize, PruningReport
from jetson_detect.core.pruning.schedule import PolynomialSchedule

__all__ = [
    "KernelReport",
    "ModelSize",
    "Pattern",
    "PolynomialSchedule",
    "PruningError",
    "PruningFiles",
    "PruningOptions",
    "PruningProgress",
    "PruningReport",
    "TrainingSetup",
    "prune",
    "prune_file",
]
