"""What answers an image on the thread that receives it."""

from __future__ import annotations

from abc import abstractmethod

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from vision_msgs.msg import Detection2DArray

from jetson_detect.benchmark.nodes.task import NodeTask
from jetson_detect.benchmark.stage_clock import StageClock
from jetson_detect.middleware.frame_receiver import Frame, FrameReceiver


class DirectNode(Node):
    """Receives images the quickest way there is; no frame changes hands."""

    def __init__(self, name: str, task: NodeTask) -> None:
        """Subscribe and advertise.

        Parameters
        ----------
        name:
            The node's.
        task:
            What it is to do.

        """
        super().__init__(name, namespace=task.namespace)
        self.workload, self.clock = task.work.workload, StageClock(task.stages)
        self._publishers_of = {
            images: self.create_publisher(Detection2DArray, answers, 10)
            for images, answers in zip(task.image_topics, task.answer_topics)
        }
        self._receiver = FrameReceiver[str](self, self._on_frame, self._on_error)
        for images in task.image_topics:
            self._receiver.add(images, images, qos_profile_sensor_data)

    @abstractmethod
    def answer(self, frame: Frame, publisher: Publisher) -> None:
        """Publish what belongs to an image."""

    def destroy_node(self) -> None:
        """End receiving, then the node."""
        self._receiver.close()
        super().destroy_node()

    def _on_frame(self, topic: str, frame: Frame) -> None:
        self.answer(frame, self._publishers_of[topic])

    def _on_error(self, topic: str, error: Exception) -> None:
        self.get_logger().error(f"{topic}: {error!r}")
