"""Between ROS messages and core types; no node, no topic."""
