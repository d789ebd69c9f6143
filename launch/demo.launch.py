"""A drawn camera and the detector: ``ros2 launch jetson_detect demo.launch.py``.

Look at ``/camera/debug_image``, or listen to ``/camera/detections``.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from jetson_detect.share import share_folder

_ARGUMENTS = {
    "camera": ("camera", "Namespace of the camera and of what is found in it"),
    "source": ("scenes", "scenes, an image, a video, or a folder of these"),
    "rate": ("30.0", "Images per second"),
    "model": ("demo", "Folder with a model.yaml, or the name of a model of this package"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    """Start the camera and include the detector."""
    camera, log_level = LaunchConfiguration("camera"), LaunchConfiguration("log_level")
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in _ARGUMENTS.items()
            ),
            Node(
                package="jetson_detect",
                executable="scene_camera",
                namespace=camera,
                name="scene_camera",
                parameters=[
                    {
                        "source": ParameterValue(LaunchConfiguration("source"), value_type=str),
                        "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                    }
                ],
                ros_arguments=["--log-level", log_level],
                output="both",
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share_folder() / "launch" / "detect.launch.py")),
                launch_arguments={
                    "namespace": camera,
                    "image_topics": "image_raw",
                    "model": LaunchConfiguration("model"),
                    "log_level": log_level,
                }.items(),
            ),
        ]
    )
