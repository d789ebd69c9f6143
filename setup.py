"""ament_python build: Python modules, entry points and the files of ``share/jetson_detect``."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "jetson_detect"
SHARE = Path("share") / PACKAGE


def installed_below_share(folder: str) -> list[tuple[str, list[str]]]:
    """List a folder's files for ``data_files``, subfolders kept."""
    groups: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            groups.setdefault(str(SHARE / path.parent), []).append(str(path))
    return list(groups.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={
        PACKAGE: [
            "py.typed",
            "core/schema/*.json",
            "core/backends/tensorrt/*.cu",
            "core/backends/tensorrt/*.ptx",
            "report/template/*",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (str(SHARE), ["package.xml"]),
        *installed_below_share("launch"),
        *installed_below_share("config"),
        *installed_below_share("models"),
        *installed_below_share("examples"),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},  # which tells colcon test to use it
    python_requires=">=3.10",
    zip_safe=False,
    author="jetson_detect maintainers",
    maintainer="jetson_detect maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    description="Object detection for ROS 2 robots: camera topics in, Detection2DArray out.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"detector_node = {PACKAGE}.commands.detector_node:main",
            f"builder_node = {PACKAGE}.commands.builder_node:main",
            f"tracker_node = {PACKAGE}.commands.tracker_node:main",
            f"detect_and_track = {PACKAGE}.commands.detect_and_track:main",
            f"scene_camera = {PACKAGE}.commands.scene_camera:main",
            f"replay = {PACKAGE}.commands.replay.command:main",
            f"watch_detections = {PACKAGE}.commands.watch_detections:main",
            f"make_demo_bag = {PACKAGE}.commands.make_demo_bag:main",
            f"build_engine = {PACKAGE}.commands.build_engine:main",
            f"engine_cache = {PACKAGE}.commands.engine_cache.command:main",
            f"export_model = {PACKAGE}.commands.export_model:main",
            f"prune_model = {PACKAGE}.commands.prune_model:main",
            f"compare_backends = {PACKAGE}.commands.compare_backends:main",
            f"benchmark = {PACKAGE}.commands.benchmark.command:main",
            f"demo = {PACKAGE}.commands.demo:main",
        ],
        # The fixture replay_bag, for the tests of other packages.
        "pytest11": [f"{PACKAGE} = {PACKAGE}.pytest_plugin"],
    },
)
