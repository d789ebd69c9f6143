"""The detector without ROS: arrays in, :class:`~jetson_detect.core.detections.Detections` out."""
