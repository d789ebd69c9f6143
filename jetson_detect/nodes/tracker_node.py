"""The tracker as a managed node: detections of any detector come in, and go out with ids."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import State, TransitionCallbackReturn

from jetson_detect.conversion.detection_bytes_check import difference_from_message_objects
from jetson_detect.conversion.tracker_status import to_tracker_status
from jetson_detect.core.tracking import find_algorithm
from jetson_detect.core.tracking.associator import AssociationOptions
from jetson_detect.nodes.diagnostic_topics import DiagnosticTopics
from jetson_detect.nodes.managed_node import ManagedNode, reports_failure
from jetson_detect.nodes.parameters import ParameterSet
from jetson_detect.nodes.tracked_camera import TrackedCamera
from jetson_detect.nodes.tracker_config import TrackerConfig, check_topics


class TrackerNode(ManagedNode):
    """Subscribes to detections, follows the objects and publishes the detections with ids.

    =============== ====================================================================
    unconfigured    parameters are declared
    inactive        the library is loaded, publishers exist
    active          each array of detections is answered, with its own header
    =============== ====================================================================

    Tracks survive deactivating; configuring anew begins without any.
    """

    def __init__(self, node_name: str = "tracker", **arguments: object) -> None:
        """Declare the parameters.

        Parameters
        ----------
        node_name, arguments:
            As for :class:`rclpy.node.Node`.

        Raises
        ------
        ParameterError
            If a parameter was given a value it cannot have.

        """
        super().__init__(node_name, **arguments)
        self._cameras: list[TrackedCamera] = []
        self._topics: DiagnosticTopics | None = None
        self._told_level: object = None
        self._parameter_set = ParameterSet(self, TrackerConfig, check=check_topics)

    @property
    def config(self) -> TrackerConfig:
        """The parameters in force."""
        return self._parameter_set.value

    @reports_failure
    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load the library and make the publishers."""
        config = self.config
        make_associator = find_algorithm(config.algorithm)
        # Now, not at the first frame: an algorithm that cannot run is known before it is needed.
        make_associator(AssociationOptions(max_missed=1))
        difference = difference_from_message_objects()
        if difference is not None:
            self.get_logger().info(
                f"detections are read as message objects, which costs more ({difference})"
            )
        self._cameras = [
            TrackedCamera(self, detections, tracks, config, make_associator, difference is None)
            for detections, tracks in config.topics
        ]
        self._check_whole_names()
        self._topics = DiagnosticTopics(
            self, "~/status", lambda: [self._status()], config.diagnostics_period_s
        )
        self._told_level = None
        return TransitionCallbackReturn.SUCCESS

    @reports_failure
    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe to the detections."""
        # Publishers first: until they are active they drop what is published.
        result: TransitionCallbackReturn = super().on_activate(state)
        if result == TransitionCallbackReturn.SUCCESS:
            for camera in self._cameras:
                camera.subscribe(lambda: self.config)
                self.get_logger().info(f"tracking: {camera.topic} -> {camera.output_topic}")
        return result

    def _check_whole_names(self) -> None:
        """Refuse names that are one topic once namespace and remappings are applied."""
        heard = {camera.topic for camera in self._cameras}
        for camera in self._cameras:
            if camera.output_topic in heard:
                raise ValueError(
                    f"the tracker would hear itself on {camera.output_topic}; give it another "
                    "topic in 'output_topics'"
                )

    def _stop(self) -> None:
        for camera in self._cameras:
            camera.unsubscribe()

    def _release(self) -> None:
        for camera in self._cameras:
            camera.destroy()
        self._cameras = []
        if self._topics is not None:
            self._topics.destroy()
            self._topics = None

    def _status(self) -> DiagnosticStatus:
        """Make the status; the latched topic only hears of another level."""
        name = f"{self.get_fully_qualified_name().lstrip('/')}: tracks"
        status = to_tracker_status([camera.tracks for camera in self._cameras], name)
        if self._topics is not None and status.level != self._told_level:
            self._told_level = status.level
            self._topics.publish(status)
        return status
