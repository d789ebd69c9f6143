"""Object detection for ROS 2 robots: camera topics in, ``vision_msgs/Detection2DArray`` out.

Three layers, one folder each:

* :mod:`jetson_detect.core` imports no ROS: models, backends, heads, pre- and post-processing.
* :mod:`jetson_detect.conversion` turns messages into core types and back.
* :mod:`jetson_detect.nodes` holds the thin nodes: parameters, topics, life cycle.

:mod:`jetson_detect.bags` and :mod:`jetson_detect.commands` are the tools around them.
"""

__version__ = "0.1.0"
