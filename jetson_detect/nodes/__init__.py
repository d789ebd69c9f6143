"""ROS nodes: parameters, topics and life cycle around the core."""
