"""The quick way through ROS for what is large or frequent: serialised bytes in and out."""
