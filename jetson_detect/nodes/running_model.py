"""A model with all that runs it: backends, engines, and the choice between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from rclpy.lifecycle import LifecycleNode

from jetson_detect.conversion.detection_writer_check import difference_from_typed_path
from jetson_detect.core.backends import BackendOptions
from jetson_detect.core.backends.choice import (
    NO_ENGINES,
    BackendChoice,
    MissingChoice,
    find_choices,
)
from jetson_detect.core.closing import Closing
from jetson_detect.core.detector import Detector
from jetson_detect.core.detector_loading import load_detector
from jetson_detect.core.engines.cache_folder import CacheError
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.engines.lookup import EngineLookup
from jetson_detect.core.fallback import ChainStatus, FallbackChain, Report
from jetson_detect.core.heads.proposal import head_as_yaml
from jetson_detect.core.model import AUTO_HEAD, ModelSpec
from jetson_detect.nodes.detector_config import DetectorConfig
from jetson_detect.nodes.engine_announcements import EngineAnnouncements
from jetson_detect.nodes.engine_pickup import EnginePickup
from jetson_detect.nodes.transport_config import PublishMode

_LOOKUP_S = 2.0
"""How long the start waits for the search for engines while something else could run."""

Choices = tuple[tuple[BackendChoice, ...], tuple[MissingChoice, ...]]
MakeDetector = Callable[[ModelSpec, BackendOptions, BackendChoice], Detector]


class RunningModel(Closing):
    """One model, ready to answer frames once it is made."""

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        model: ModelSpec,
        announcements: EngineAnnouncements,
        config: Callable[[], DetectorConfig],
        make_detector: MakeDetector = load_detector,
        on_report: Callable[[RunningModel, Report], None] = lambda running, report: None,
    ) -> None:
        """Look for engines and load the best backend that works; takes seconds.

        Parameters
        ----------
        node:
            The detector's node.
        name:
            The value of the parameter ``model``.
        model:
            What it stands for.
        announcements:
            Of builders that have made engines.
        config:
            Tells the parameters in force; the model's name in them may be another.
        make_detector:
            Loads a backend and makes a detector that was warmed up.
        on_report:
            Is told of each change, on whichever thread it happens.

        Raises
        ------
        BackendError
            If no backend works, with each one's reason.

        """
        self.name = name
        self.model = model
        self._node = node
        self._announcements = announcements
        self._config = config
        self._choices_lock = threading.Lock()
        """Held while the chain is told; parameters and engines change on two threads."""
        start = time.monotonic()
        now = config()
        self.publishes_serialized = self._can_publish_serialized(now)
        """Whether detections are written as bytes: as wanted, and where that works."""
        self._chain: FallbackChain | None = None
        self._engines = self._look_for_engines(now)
        try:
            self._choices = self._find_choices(now)
            """What the chain was told to run."""
            self.chain = FallbackChain(
                *self._choices,
                partial(make_detector, model, now.backend_options()),
                now.fallback.policy(),
                lambda report: on_report(self, report),
            )
            self.chain.start()
        except BaseException:
            self._close_engines()
            raise
        self._chain = self.chain
        # What was found since the choices were spelt out.
        self._update_choices()
        self._log_start(self.chain.status, time.monotonic() - start)
        self._log_proposed_head()

    @property
    def status(self) -> ChainStatus:
        """What runs, why, and what was refused."""
        return self.chain.status

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being loaded, and has not been for a moment."""
        return self.chain.is_settled and (self._engines is None or self._engines.is_settled)

    def check(self, config: DetectorConfig) -> None:
        """Refuse parameters that leave nothing to run, or that the model knows nothing of.

        Raises
        ------
        ValueError
            With the reason.

        """
        check_classes(config, self.model)
        choices, missing = self._find_choices(config)
        engines = self._engines
        if not choices and engines and config.wants_tensorrt and not engines.has_looked:
            engines.look(_LOOKUP_S)
            choices, missing = self._find_choices(config)
        if not choices:
            raise ValueError("; ".join(each.reason for each in missing))

    def follow(self, config: DetectorConfig) -> None:
        """Take parameters over that have changed."""
        self.chain.policy = config.fallback.policy()
        self._update_choices()
        engines = self._engines
        if engines is not None and config.wants_tensorrt and not engines.has_looked:
            engines.look()

    def close(self) -> None:
        """End all threads and give everything back."""
        self._close_engines()
        self.chain.close()

    def _close_engines(self) -> None:
        if self._engines is not None:
            self._engines.close()
            self._engines = None

    def _can_publish_serialized(self, config: DetectorConfig) -> bool:
        if config.transport.publish is PublishMode.TYPED:
            return False
        difference = difference_from_typed_path(self.model.labels)
        if difference is not None:
            self._node.get_logger().info(
                f"detections are published as message objects, which costs more ({difference})"
            )
        return difference is None

    # -- engines ------------------------------------------------------------------------------

    def _look_for_engines(self, config: DetectorConfig) -> EnginePickup | None:
        """Find the engines that were built for the model; None if the user wants none."""
        try:
            cache = config.open_engine_cache()
        except CacheError as error:
            self._node.get_logger().warning(f"{error}; until then no engine is taken from there")
            return None
        if cache is None:
            return None
        pickup = EnginePickup(
            self.model,
            EngineLookup(cache, config.tensorrt.device, config.tensorrt.runtime),
            self._announcements,
            lambda: self._config().wants_tensorrt,
            self._on_engines,
        )
        if config.wants_tensorrt and not pickup.look(_LOOKUP_S):
            choices, _ = find_choices(self.model, config.wanted_backends, config.wanted_precision)
            if not choices:  # without an engine it cannot start at all
                pickup.look(config.fallback.load_timeout_s)
        return pickup

    def _find_choices(self, config: DetectorConfig) -> Choices:
        """Spell out what may run, with the engines that are known of."""
        engines = self._engines.files if self._engines is not None else NO_ENGINES
        return find_choices(self.model, config.wanted_backends, config.wanted_precision, engines)

    def _update_choices(self) -> None:
        """Tell the chain what may run now, if that is something else."""
        with self._choices_lock:
            if self._chain is None:
                return
            choices = self._find_choices(self._config())
            if choices != self._choices:
                self._choices = choices
                self._chain.set_choices(*choices)

    def _on_engines(self, before: EngineFiles, after: EngineFiles) -> None:
        """Take over what was promoted; on the thread that looks."""
        if self._chain is None or not self._node.context.ok():
            return  # not started yet: it begins with them
        choices, _ = self._find_choices(self._config())
        for file in after.files:
            if file not in before.files:
                then = "; taking it over" if choices[:1] and choices[0].file == file else ""
                self._node.get_logger().info(
                    f"engine {file.precision.value} of model '{self.model.name}' was promoted{then}"
                )
        self._update_choices()

    # -- log ----------------------------------------------------------------------------------

    def _log_start(self, status: ChainStatus, seconds: float) -> None:
        """Say once what runs, why, and what was refused."""
        refused = "".join(f"\n  not on {refusal}" for refusal in status.refusals)
        text = (
            f"model '{self.model.name}' ({len(self.model.labels)} classes) runs on "
            f"{status.running}; ready after {seconds:.2f} s; {status.why}{refused}"
        )
        # Two calls: rclpy ties a level to the line that logs, and the next start may end otherwise.
        if status.degraded:
            self._node.get_logger().warning(text)
        else:
            self._node.get_logger().info(text)

    def _log_proposed_head(self) -> None:
        detector = self.chain.detector
        if self.model.head.type == AUTO_HEAD and detector is not None:
            self._node.get_logger().info(
                f"head proposed from the outputs' names and shapes: "
                f"{head_as_yaml(detector.head_spec)}; put this into {self.model.source}"
            )


def check_classes(config: DetectorConfig, model: ModelSpec) -> None:
    """Refuse labels that a model does not know.

    Raises
    ------
    ValueError
        With them and with those it knows.

    """
    unknown = sorted(set(config.classes) - set(model.labels))
    if unknown:
        raise ValueError(
            f"parameter 'classes' has {', '.join(map(repr, unknown))}, which model "
            f"'{model.name}' does not know; its labels are {', '.join(model.labels)}"
        )
