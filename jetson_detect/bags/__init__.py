"""Recorded topics: read and write rosbag2 bags, without a ROS node."""
