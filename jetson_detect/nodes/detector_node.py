"""The detector as a managed node."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import State, TransitionCallbackReturn

from jetson_detect.conversion.detection_writer_check import difference_from_typed_path
from jetson_detect.conversion.frame_header import FrameHeader
from jetson_detect.conversion.serialized_image import read_image
from jetson_detect.core.backends import BackendOptions, open_file
from jetson_detect.core.backends.choice import (
    NO_ENGINES,
    BackendChoice,
    MissingChoice,
    check_names,
    find_choices,
)
from jetson_detect.core.detector import Detector
from jetson_detect.core.engines.cache_folder import CacheError
from jetson_detect.core.engines.engine_files import EngineFiles
from jetson_detect.core.engines.lookup import EngineLookup
from jetson_detect.core.fallback import ChainStatus, FallbackChain
from jetson_detect.core.heads.proposal import head_as_yaml
from jetson_detect.core.model import AUTO_HEAD, ModelSpec, load_model
from jetson_detect.core.newest_frames import NewestFrames
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.selection import Selection
from jetson_detect.middleware.frame_receiver import Frame, FrameReceiver
from jetson_detect.nodes.backend_reporter import BackendReporter
from jetson_detect.nodes.camera_channel import CameraChannel
from jetson_detect.nodes.detector_config import DetectorConfig
from jetson_detect.nodes.engine_pickup import EnginePickup
from jetson_detect.nodes.managed_node import ManagedNode, reports_failure
from jetson_detect.nodes.parameters import ParameterSet
from jetson_detect.nodes.transport_config import PublishMode
from jetson_detect.share import find_model

_WORKER_STOP_S = 10.0
_LOOKUP_S = 2.0
"""How long the start waits for the search for engines while something else could run."""

Choices = tuple[tuple[BackendChoice, ...], tuple[MissingChoice, ...]]
MakeDetector = Callable[[ModelSpec, BackendOptions, BackendChoice], Detector]


@dataclass(frozen=True, eq=False)
class _Submitted:
    """A frame that the chain works on."""

    channel: CameraChannel
    header: FrameHeader
    pixels: Pixels


def make_detector(model: ModelSpec, options: BackendOptions, choice: BackendChoice) -> Detector:
    """Load a backend and run it once.

    Raises
    ------
    BackendError, ModelError, ValueError
        If it does not load, does not fit the model or does not run.

    """
    backend = open_file(choice.backend, choice.file, options)
    try:
        detector = Detector(model, backend)
        detector.warm_up()
    except BaseException:
        backend.close()
        raise
    return detector


class DetectorNode(ManagedNode):
    """Subscribes to cameras, runs the detector and publishes what it finds.

    =============== ====================================================================
    unconfigured    parameters are declared
    inactive        the model is loaded and warm, publishers exist
    active          images are subscribed to; each processed frame is answered
    =============== ====================================================================

    One thread takes the images from the middleware and puts the newest of each camera into its
    slot, another answers them; the executor has no part in frames, unless they have to be taken
    through rclpy (``transport.receive``).
    """

    def __init__(
        self,
        node_name: str = "detector",
        *,
        make_detector: MakeDetector = make_detector,
        **arguments: object,
    ) -> None:
        """Declare the parameters.

        Parameters
        ----------
        node_name, arguments:
            As for :class:`rclpy.node.Node`.
        make_detector:
            Loads a backend and makes a detector that was warmed up.

        Raises
        ------
        ParameterError
            If a parameter was given a value it cannot have.

        """
        super().__init__(node_name, **arguments)
        self._model: ModelSpec | None = None
        self._chain: FallbackChain | None = None
        self._reporter: BackendReporter | None = None
        self._engines: EnginePickup | None = None
        self._choices: Choices = ((), ())
        """What the chain was told to run."""
        self._choices_lock = threading.Lock()
        """Held while it is told; parameters and engines change on two threads."""
        self._channels: list[CameraChannel] = []
        self._make_detector = make_detector
        self._receiver: FrameReceiver[CameraChannel] | None = None
        self._frames: NewestFrames[CameraChannel, Frame] | None = None
        self._worker: threading.Thread | None = None
        self._silence_timer: object | None = None
        self._selection = Selection()
        self._parameter_set = ParameterSet(
            self, DetectorConfig, on_change=self._on_change, check=self._check
        )

    @property
    def config(self) -> DetectorConfig:
        """The parameters in force."""
        return self._parameter_set.value

    # -- life cycle ---------------------------------------------------------------------------

    @reports_failure
    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load the model and make the publishers."""
        self._configure()
        return TransitionCallbackReturn.SUCCESS

    @reports_failure
    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe to the images and start to answer them."""
        # Publishers first: until they are active they drop what is published.
        result: TransitionCallbackReturn = super().on_activate(state)
        if result != TransitionCallbackReturn.SUCCESS:
            return result
        self._frames = NewestFrames()
        self._worker = threading.Thread(
            target=self._work, args=(self._frames,), name="inference", daemon=True
        )
        self._worker.start()
        self._receiver = receiver = FrameReceiver(
            self,
            partial(self._receive, self._frames),
            CameraChannel.report_bad_frame,
            self.config.transport.receive,
        )
        for channel in self._channels:
            channel.publish_labels(self._selection.score_threshold)
            channel.expect_frames()
            receiver.add(channel, channel.image_topic, channel.image_qos)
            self.get_logger().info(f"detecting: {channel.topic} -> {channel.answer_topic}")
        if receiver.reason:
            self.get_logger().info(
                f"images are taken by the executor, which costs more ({receiver.reason})"
            )
        if self.config.silence_warning_s > 0.0:
            # Steady time: also with use_sim_time and no clock it says that nothing comes.
            self._silence_timer = self.create_timer(
                1.0, self._report_silence, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
        return result

    # -- configuration ------------------------------------------------------------------------

    def _configure(self) -> None:
        config = self.config
        # OpenCV takes a negative number for "as many as seem right".
        cv2.setNumThreads(config.opencv_threads or -1)
        model = load_model(find_model(config.model))
        self._check_classes(config, model)
        namespaces = _output_namespaces(config)
        start = time.monotonic()
        self._reporter = BackendReporter(
            self, model.name, self._chain_status, config.diagnostics_period_s
        )
        self._engines = self._look_for_engines(config, model)
        self._choices = self._find_choices(config, model)
        self._chain = FallbackChain(
            *self._choices,
            partial(self._make_detector, model, config.backend_options()),
            config.fallback.policy(),
            self._reporter.report,
        )
        self._chain.start()
        self._model = model
        # What was found since the choices were spelt out.
        self._update_choices()
        self._log_start(model, self._chain.status, time.monotonic() - start)
        self._log_proposed_head(model)
        qos = config.image_qos.profile()
        serialized = self._publishes_serialized(config, model)
        for topic, namespace in zip(config.image_topics, namespaces):
            self._channels.append(
                CameraChannel(self, topic, namespace, qos, model.labels, serialized)
            )
        self._selection = selection = _selection(config, model)
        # Where they were left to the model, `ros2 param get` shows what is in force now.
        self._parameter_set.set(
            score_threshold=selection.score_threshold,
            iou_threshold=selection.iou_threshold,
            max_detections=selection.max_detections,
        )

    def _publishes_serialized(self, config: DetectorConfig, model: ModelSpec) -> bool:
        """Whether detections are written as bytes: as wanted, and where that works."""
        if config.transport.publish is PublishMode.TYPED:
            return False
        difference = difference_from_typed_path(model.labels)
        if difference is not None:
            self.get_logger().info(
                f"detections are published as message objects, which costs more ({difference})"
            )
        return difference is None

    def _look_for_engines(self, config: DetectorConfig, model: ModelSpec) -> EnginePickup | None:
        """Find the engines that were built for the model; None if the user wants none."""
        try:
            cache = config.open_engine_cache()
        except CacheError as error:
            self.get_logger().warning(f"{error}; until then no engine is taken from there")
            return None
        if cache is None:
            return None
        pickup = EnginePickup(
            self,
            model,
            EngineLookup(cache, config.tensorrt.device, config.tensorrt.runtime),
            config.engines_topic,
            lambda: self.config.wants_tensorrt,
            self._on_engines,
        )
        if config.wants_tensorrt and not pickup.look(_LOOKUP_S):
            choices, _ = find_choices(model, config.wanted_backends, config.wanted_precision)
            if not choices:  # without an engine it cannot start at all
                pickup.look(config.fallback.load_timeout_s)
        return pickup

    def _log_start(self, model: ModelSpec, status: ChainStatus, seconds: float) -> None:
        """Say once what runs, why, and what was refused."""
        refused = "".join(f"\n  not on {refusal}" for refusal in status.refusals)
        text = (
            f"model '{model.name}' ({len(model.labels)} classes) runs on {status.running}; "
            f"ready after {seconds:.2f} s; {status.why}{refused}"
        )
        # Two calls: rclpy ties a level to the line that logs, and the next start may end otherwise.
        if status.degraded:
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)

    def _log_proposed_head(self, model: ModelSpec) -> None:
        detector = self._chain.detector if self._chain is not None else None
        if model.head.type == AUTO_HEAD and detector is not None:
            self.get_logger().info(
                f"head proposed from the outputs' names and shapes: "
                f"{head_as_yaml(detector.head_spec)}; put this into {model.source}"
            )

    def _chain_status(self) -> ChainStatus | None:
        return self._chain.status if self._chain is not None else None

    def _check(self, config: DetectorConfig) -> None:
        """Refuse what single parameters cannot: called for each change, also before one."""
        if not config.image_topics:
            raise ValueError("parameter 'image_topics' is empty: name at least one camera topic")
        _output_namespaces(config)
        try:
            check_names(config.backends)
        except ValueError as error:
            raise ValueError(f"parameter 'backends': {error}") from error
        if self._model is not None:
            self._check_classes(config, self._model)
            self._check_backends(config, self._model)

    def _check_backends(self, config: DetectorConfig, model: ModelSpec) -> None:
        """Refuse a change that leaves nothing to run."""
        choices, missing = self._find_choices(config, model)
        engines = self._engines
        if not choices and engines and config.wants_tensorrt and not engines.has_looked:
            engines.look(_LOOKUP_S)
            choices, missing = self._find_choices(config, model)
        if not choices:
            raise ValueError("; ".join(each.reason for each in missing))

    @staticmethod
    def _check_classes(config: DetectorConfig, model: ModelSpec) -> None:
        unknown = sorted(set(config.classes) - set(model.labels))
        if unknown:
            raise ValueError(
                f"parameter 'classes' has {', '.join(map(repr, unknown))}, which model "
                f"'{model.name}' does not know; its labels are {', '.join(model.labels)}"
            )

    def _on_change(self, old: DetectorConfig, new: DetectorConfig) -> None:
        """Take live changes over; the worker reads the selection once for each frame."""
        if self._model is None:
            return
        if self._chain is not None:
            self._chain.policy = new.fallback.policy()
            before_choices = (old.wanted_backends, old.wanted_precision)
            if before_choices != (new.wanted_backends, new.wanted_precision):
                self._update_choices()
            engines = self._engines
            if engines is not None and new.wants_tensorrt and not engines.has_looked:
                engines.look()
        before = self._selection.score_threshold
        self._selection = _selection(new, self._model)
        if self._selection.score_threshold != before:
            for channel in self._channels:
                channel.publish_labels(self._selection.score_threshold)

    # -- engines ------------------------------------------------------------------------------

    def _find_choices(self, config: DetectorConfig, model: ModelSpec) -> Choices:
        """Spell out what may run, with the engines that are known of."""
        engines = self._engines.files if self._engines is not None else NO_ENGINES
        return find_choices(model, config.wanted_backends, config.wanted_precision, engines)

    def _update_choices(self) -> None:
        """Tell the chain what may run now, if that is something else."""
        with self._choices_lock:
            chain, model = self._chain, self._model
            if chain is None or model is None:
                return
            choices = self._find_choices(self.config, model)
            if choices != self._choices:
                self._choices = choices
                chain.set_choices(*choices)

    def _on_engines(self, before: EngineFiles, after: EngineFiles) -> None:
        """Take over what was promoted; on the thread that looks."""
        model = self._model
        if model is None or not self.context.ok():
            return  # not started yet: it begins with them
        choices, _ = self._find_choices(self.config, model)
        for file in after.files:
            if file not in before.files:
                then = "; taking it over" if choices[:1] and choices[0].file == file else ""
                self.get_logger().info(
                    f"engine {file.precision.value} of model '{model.name}' was promoted{then}"
                )
        self._update_choices()

    def _release(self) -> None:
        """Take back what configuring made."""
        if self._engines is not None:
            self._engines.close()
        for channel in self._channels:
            channel.destroy()
        self._channels = []
        if self._chain is not None:
            self._chain.close()
        if self._reporter is not None:
            self._reporter.destroy()
        self._chain = self._reporter = self._model = self._engines = None

    # -- frames -------------------------------------------------------------------------------

    def _receive(
        self, frames: NewestFrames[CameraChannel, Frame], channel: CameraChannel, frame: Frame
    ) -> None:
        channel.receive()
        config, chain = self.config, self._chain
        if config.enabled and chain is not None:
            settled = chain.is_settled and (self._engines is None or self._engines.is_settled)
            keep = 1 if settled else config.image_qos.depth
            channel.counts.replaced += frames.put(channel, frame, keep)

    def _work(self, frames: NewestFrames[CameraChannel, Frame]) -> None:
        """Answer frames until there are no more; runs in a thread of its own.

        A backend that can hold several is given the next frame, if one waits, before the last is
        answered; with none waiting each is answered as soon as it can be.
        """
        chain = self._chain
        assert chain is not None
        submitted: deque[_Submitted] = deque()
        while True:
            taken = None
            depth = chain.depth if self.config.pipelining else 1
            if len(submitted) < depth:
                taken = frames.take(0.0 if submitted else None)
            if taken is not None:
                frame = self._submit(chain, *taken)
                if frame is not None:
                    submitted.append(frame)
                # A frame's memory is the receiver's: it gets it back as soon as it can.
                taken = frame = None
            elif submitted:
                self._answer(chain, submitted.popleft())
            else:
                return

    def _submit(
        self, chain: FallbackChain, channel: CameraChannel, frame: Frame
    ) -> _Submitted | None:
        """Let the chain begin with a frame; None if it is a bad one."""
        try:
            header, pixels = read_image(frame)
            chain.submit(pixels, self._selection)
        except Exception as error:
            channel.report_bad_frame(error)
            return None
        return _Submitted(channel, header, pixels)

    def _answer(self, chain: FallbackChain, frame: _Submitted) -> None:
        """Publish what was found in the oldest frame."""
        try:
            detections = chain.result()
            frame.channel.publish(
                detections, frame.header, frame.pixels, self.config.class_id_format
            )
        except Exception as error:
            if self.context.ok():  # else the process is stopping and the publishers are gone
                frame.channel.report_bad_frame(error)

    def _stop(self) -> None:
        """Unsubscribe and wait until the frame in work is answered."""
        if self._silence_timer is not None:
            self.destroy_timer(self._silence_timer)
            self._silence_timer = None
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None
        if self._frames is not None:
            self._frames.close()
        if self._worker is not None:
            self._worker.join(_WORKER_STOP_S)
            if self._worker.is_alive() and self.context.ok():
                self.get_logger().error(f"inference has not ended after {_WORKER_STOP_S:.0f} s")
            if self.context.ok():
                for channel in self._channels:
                    counts = channel.counts
                    self.get_logger().info(
                        f"{channel.topic}: {counts.received} frames received, {counts.answered} "
                        f"answered, {counts.replaced} replaced by newer ones, {counts.failed} bad"
                    )
        self._frames = self._worker = None

    def _report_silence(self) -> None:
        if self.config.enabled:
            for channel in self._channels:
                channel.report_silence(self.config.silence_warning_s)


def _selection(config: DetectorConfig, model: ModelSpec) -> Selection:
    """What the parameters select; where they leave it open, what the model does."""
    selection = Selection.from_thresholds(model.thresholds)
    if config.score_threshold >= 0.0:
        selection = replace(selection, score_threshold=config.score_threshold)
    if config.iou_threshold >= 0.0:
        selection = replace(selection, iou_threshold=config.iou_threshold)
    if config.max_detections > 0:
        selection = replace(selection, max_detections=config.max_detections)
    wanted = frozenset(model.labels.index(label) for label in config.classes)
    return replace(
        selection,
        hypotheses=config.max_hypotheses,
        class_agnostic=config.class_agnostic,
        class_ids=wanted or None,
    )


def _output_namespaces(config: DetectorConfig) -> tuple[str, ...]:
    """Where each camera's answers go: as configured, else beside its images.

    Raises
    ------
    ValueError
        If two cameras would publish on the same topics.

    """
    namespaces = config.output_namespaces
    if not namespaces:
        # "" for a bare name: then the answers are in the node's own namespace, as the image is.
        namespaces = tuple(topic.rpartition("/")[0] for topic in config.image_topics)
    elif len(namespaces) != len(config.image_topics):
        raise ValueError(
            f"parameter 'output_namespaces' has {len(namespaces)} entries for "
            f"{len(config.image_topics)} image_topics; give one for each, or none"
        )
    shared = [namespace for namespace, count in Counter(namespaces).items() if count > 1]
    if shared:
        topics = [t for t, n in zip(config.image_topics, namespaces) if n == shared[0]]
        raise ValueError(
            f"the answers to {' and '.join(topics)} would share the topic "
            f"{shared[0]}/detections; give each camera one of its own in 'output_namespaces'"
        )
    return tuple(namespace.rstrip("/") for namespace in namespaces)
