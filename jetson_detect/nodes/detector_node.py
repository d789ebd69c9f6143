"""The detector as a managed node."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import cv2
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import State, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from jetson_detect.conversion.board_diagnostics import to_board_status
from jetson_detect.conversion.camera_diagnostics import to_camera_status
from jetson_detect.core.backends.choice import check_names
from jetson_detect.core.board_health import BoardFiles, BoardWatch
from jetson_detect.core.camera_statistics import DropReason
from jetson_detect.core.detector_loading import load_detector
from jetson_detect.core.fallback import Report
from jetson_detect.core.model import load_model
from jetson_detect.core.selection import Selection
from jetson_detect.middleware.frame_receiver import Frame
from jetson_detect.nodes.awaited_parameter import prepare_aside
from jetson_detect.nodes.backend_reporter import BackendReporter
from jetson_detect.nodes.camera_channel import CameraChannel
from jetson_detect.nodes.camera_discovery import CameraDiscovery
from jetson_detect.nodes.camera_set import CameraSet
from jetson_detect.nodes.camera_topics import output_namespaces
from jetson_detect.nodes.clock_jumps import ClockJumps
from jetson_detect.nodes.control_services import Answer, ControlServices, service_names
from jetson_detect.nodes.detector_config import DetectorConfig
from jetson_detect.nodes.engine_announcements import EngineAnnouncements
from jetson_detect.nodes.frame_worker import FrameWorker, Service
from jetson_detect.nodes.managed_node import ManagedNode, reports_failure
from jetson_detect.nodes.model_exchange import ModelExchange
from jetson_detect.nodes.parameters import ParameterError, ParameterSet
from jetson_detect.nodes.running_model import MakeDetector, RunningModel, check_classes
from jetson_detect.nodes.selection_in_force import selection_in_force, without_own_thresholds

_WORKER_STOP_S = 10.0


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
        make_detector: MakeDetector = load_detector,
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
        self._make_detector = make_detector
        self._models: ModelExchange | None = None
        self._announcements: EngineAnnouncements | None = None
        self._reporter: BackendReporter | None = None
        self._cameras: CameraSet | None = None
        self._clock_jumps: ClockJumps | None = None
        self._worker: FrameWorker | None = None
        self._board = BoardWatch(BoardFiles().read)
        self._selection = Selection()
        self._service: Service | None = None
        """What answers frames; exchanged as a whole, for the worker asks on its own thread."""
        self._first_model: tuple[str, Path] | None = None
        """The model that whoever started the node asked for, and where; None until it is known."""
        self._parameter_set = ParameterSet(
            self, DetectorConfig, on_change=self._on_change, check=self._check
        )
        self._first_model = self.config.model, self.config.first_model_folder()
        prepare_aside(self, "model", self._prepare_model, self._forget_prepared)
        ControlServices(
            self,
            self.config.models,
            enable=self._enable,
            reset_statistics=self._reset_statistics,
            prepare_model=self._prepare_model,
            use_model=self._use_model,
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
        if result != TransitionCallbackReturn.SUCCESS or self._cameras is None:
            return result
        self._worker = FrameWorker(self._current_service, self.context, self._retire)
        self._cameras.activate(
            partial(self._receive, self._worker), self._selection.score_threshold
        )
        return result

    def _configure(self) -> None:
        config = self.config
        # OpenCV takes a negative number for "as many as seem right".
        cv2.setNumThreads(config.opencv_threads or -1)
        self._reporter = BackendReporter(
            self, config.diagnostics_period_s, self._diagnoses, self._batch_counts
        )
        self._announcements = EngineAnnouncements(self, config.engines_topic)
        self._models = ModelExchange(partial(self._load, self._announcements))
        running = self._models.start(config.model)
        check_classes(config, running.model)
        self._reporter.follow(running)
        self._cameras = CameraSet(
            self, lambda: self.config, partial(self._make_channel, config.image_qos.profile())
        )
        self._clock_jumps = ClockJumps(self, self._cameras.forget_latencies)
        self._selection = selection_in_force(config, running.model)
        self._update_service(config)
        self._show_thresholds()

    def _stop(self) -> None:
        """Unsubscribe and wait until the frame in work is answered."""
        if self._cameras is not None:
            self._cameras.deactivate()
        if self._worker is not None:
            if not self._worker.close(_WORKER_STOP_S) and self.context.ok():
                self.get_logger().error(f"inference has not ended after {_WORKER_STOP_S:.0f} s")
            if self.context.ok() and self._cameras is not None:
                self._cameras.log_counts()
            self._worker = None
        if self._models is not None:
            self._models.retire(None)

    def _release(self) -> None:
        """Take back what configuring made."""
        if self._clock_jumps is not None:
            self._clock_jumps.destroy()
        if self._cameras is not None:
            self._cameras.destroy()
        if self._models is not None:
            self._models.close()
        if self._announcements is not None:
            self._announcements.destroy()
        if self._reporter is not None:
            self._reporter.destroy()
        self._models = self._reporter = self._cameras = self._clock_jumps = self._service = None
        self._announcements = None

    # -- parameters ---------------------------------------------------------------------------

    def _check(self, config: DetectorConfig) -> None:
        """Refuse what single parameters cannot: called for each change, also before one."""
        if not config.image_topics:
            raise ValueError("parameter 'image_topics' is empty: name at least one camera topic")
        output_namespaces(config)
        config.view.views(len(config.image_topics))
        try:
            CameraDiscovery(self, config.image_topics)
        except ValueError as error:
            raise ValueError(f"parameter 'image_topics': {error}") from error
        try:
            check_names(config.backends)
        except ValueError as error:
            raise ValueError(f"parameter 'backends': {error}") from error
        service_names(config.models)
        if self._first_model is None:  # the node is being made
            config.check_models()
            return
        models = self._models
        running = models.running if models is not None else None
        if config.model != (running.name if running is not None else self.config.model):
            self._offered_folder(config.model)
            if models is not None:
                running = models.demand(config.model)
        if running is not None:
            running.check(config)

    def _on_change(self, old: DetectorConfig, new: DetectorConfig) -> None:
        """Take live changes over; the worker asks for them before each frame."""
        if self._cameras is not None and new.view != old.view:
            self._cameras.take_views()
        models = self._models
        running = models.running if models is not None else None
        if models is None or running is None:
            return
        if new.model != running.name:
            self._change_model(models, new)
        else:
            running.follow(new)
            before = self._selection.score_threshold
            self._selection = selection_in_force(new, running.model)
            self._update_service(new)
            if self._cameras is not None and self._selection.score_threshold != before:
                self._cameras.publish_labels(self._selection.score_threshold)

    def _show_thresholds(self) -> None:
        """Where they were left to the model, `ros2 param get` shows what is in force now."""
        self._parameter_set.set(
            score_threshold=self._selection.score_threshold,
            iou_threshold=self._selection.iou_threshold,
            max_detections=self._selection.max_detections,
        )

    def _update_service(self, config: DetectorConfig) -> None:
        """Have the next frame answered as the parameters say."""
        running = self._models.running if self._models is not None else None
        assert running is not None
        self._service = Service(
            running.chain,
            self._selection,
            config.class_id_format,
            config.pipelining,
            config.batching.max_size,
            config.batching.max_wait_s,
            lambda channel, header: not channel.is_too_old(header, config.max_age_s),
            running.model.input,
        )

    def _current_service(self) -> Service:
        """What answers frames now."""
        assert self._service is not None
        return self._service

    # -- models -------------------------------------------------------------------------------

    def _offered_folder(self, name: str) -> Path:
        """Return the folder of a model that may be changed to, by a name from the network.

        Raises
        ------
        ValueError
            If it is not one of those that were offered at the start.

        """
        config = self.config
        if self._first_model is not None and name == self._first_model[0] and not config.models:
            return self._first_model[1]
        return config.offered_model_folder(name)

    def _load(self, announcements: EngineAnnouncements, name: str) -> RunningModel:
        """Load a model; on any thread, also while another one runs."""
        first = self._first_model
        folder = first[1] if first and name == first[0] else self._offered_folder(name)
        return RunningModel(
            self,
            name,
            load_model(folder),
            announcements,
            lambda: self.config,
            self._make_detector,
            self._on_report,
        )

    def _prepare_model(self, name: str) -> None:
        """Load a model that somebody wants, if it may be; on a thread, and raises nothing."""
        models = self._models
        if models is None:
            return
        try:
            self._offered_folder(name)
        except ValueError:
            return  # refused with the reason when the parameter is set
        models.prepare(name)

    def _forget_prepared(self, name: str) -> None:
        if self._models is not None:
            self._models.discard(name)

    def _change_model(self, models: ModelExchange, config: DetectorConfig) -> None:
        """Have the next frame answered by the model that was loaded beside the running one."""
        assert models.running is not None
        assert self._reporter is not None
        before, after = models.running, models.exchange(config.model)
        after.follow(config)
        config = without_own_thresholds(config, before.model)
        self._selection = selection_in_force(config, after.model)
        self._update_service(config)
        self._reporter.follow(after)
        self.get_logger().info(f"model '{after.name}' takes over from '{before.name}'")
        self._show_thresholds()
        if self._worker is not None:
            self._worker.look_again()
        else:
            self._take_labels(after)
            models.retire(after)

    def _retire(self, before: Service, after: Service) -> None:
        """Take over the labels of the model that answers from now on, and give back the old one.

        On the thread that answers; by now there may be a third one, which it has not heard of.
        """
        models = self._models
        now = models.model_of(after.chain) if models is not None else None
        if models is not None and now is not None:
            self._take_labels(now)
            # Ending threads takes a moment, and frames wait.
            threading.Thread(
                target=models.retire, args=(now,), name="retiring", daemon=True
            ).start()

    def _take_labels(self, running: RunningModel) -> None:
        if self._cameras is not None:
            self._cameras.take_labels(
                running.model.labels,
                running.publishes_serialized,
                self._selection.score_threshold,
            )

    # -- frames -------------------------------------------------------------------------------

    def _make_channel(self, qos: QoSProfile, topic: str, namespace: str) -> CameraChannel:
        running = self._models.running if self._models is not None else None
        assert running is not None
        return CameraChannel(
            self,
            topic,
            namespace,
            qos,
            running.model.labels,
            running.publishes_serialized,
            lambda: self.config.debug_image,
        )

    def _receive(self, worker: FrameWorker, channel: CameraChannel, frame: Frame) -> None:
        channel.receive()
        config, models = self.config, self._models
        if not config.enabled or models is None:
            channel.statistics.drop(DropReason.DISABLED)
            return
        # While a library that is being loaded holds up all of Python, frames wait in line.
        keep = 1 if models.is_settled else config.image_qos.depth
        replaced = worker.put(channel, frame, keep)
        if replaced:
            channel.statistics.drop(DropReason.REPLACED, replaced)

    # -- diagnostics and control --------------------------------------------------------------

    def _on_report(self, running: RunningModel, report: Report) -> None:
        """Tell of a change, on whichever thread it happened, of the model that runs."""
        # While the first one is being loaded, none runs.
        now = self._models.running if self._models is not None else None
        if self._reporter is not None and now in (None, running):
            self._reporter.report(running, report)

    def _diagnoses(self) -> list[DiagnosticStatus]:
        """How the cameras and the machine are."""
        name = self.get_fully_qualified_name().lstrip("/")
        cameras = self._cameras.conditions() if self._cameras is not None else []
        return [
            *(to_camera_status(each, f"{name}: camera {each.topic}") for each in cameras),
            to_board_status(self._board.health(), f"{name}: machine"),
        ]

    def _batch_counts(self) -> dict[str, str]:
        if self._worker is None:
            return {}
        counts = self._worker.counts
        return {
            "batched calls": f"{counts.batched_calls} of {counts.calls}",
            "mean batch size": f"{counts.mean_size:.2f}",
        }

    def _enable(self, wanted: bool) -> Answer:
        try:
            self._parameter_set.set(enabled=wanted)
        except ParameterError as error:
            return False, str(error)
        return True, "frames are processed" if wanted else "frames are dropped unanswered"

    def _reset_statistics(self) -> Answer:
        if self._cameras is None:
            return False, "the detector is not configured: configure it first"
        self._cameras.reset_statistics()
        return True, f"{len(self._cameras.channels)} cameras are counted anew"

    def _use_model(self, name: str) -> Answer:
        try:
            self._parameter_set.set(model=name)
        except ParameterError as error:
            return False, str(error)
        finally:
            self._forget_prepared(name)
        when = "from now on" if self._models is not None else "when the node is configured"
        return True, f"model '{name}' answers {when}"
