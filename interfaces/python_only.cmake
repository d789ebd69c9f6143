# Included by CMake right after project() (CMAKE_PROJECT_INCLUDE) when vision_msgs is built into a
# virtual environment: nothing there compiles C++ against it, so the C++ generators, half of the
# build time, are taken out.  The fastrtps C type support, which rclpy uses, keeps its C++ source.
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")
