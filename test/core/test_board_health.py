"""A board drawn as files; what it says, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jetson_detect.core.board_health import (
    BoardFiles,
    BoardHealth,
    BoardReading,
    BoardWatch,
    Concern,
    GpuClock,
    MemoryReading,
    PowerMode,
    Seriousness,
    ThermalZone,
    judge,
)

# Of an Orin Nano with JetPack 6: comments and other keys around the modes are left out.
NVPMODEL = """
< PARAM TYPE=FILE NAME=CPU_ONLINE >
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< POWER_MODEL ID=3 NAME=7W >
# < POWER_MODEL ID=9 NAME=MAXN_OF_A_COMMENT >
< PM_CONFIG DEFAULT=1 >
"""
MEMINFO = """MemTotal:        8000000 kB
MemFree:          100000 kB
MemAvailable:    4000768 kB
SwapTotal:       4096000 kB
SwapFree:        3072000 kB
"""


class Board:
    """Files of a Jetson below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shared_mb = (1024, 512)
        self.write("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
        self.write("var/lib/nvpmodel/status", "pmode:0001")
        self.write("etc/nvpmodel.conf", NVPMODEL)
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/vmstat", "nr_free_pages 5\npswpin 512\npswpout 9\n")
        self.zone(0, "cpu-thermal", 51250, passive=99000, critical=104500)
        self.zone(1, "gpu-thermal", 49500, active=60000, passive=99000, critical=104500)
        self.zone(2, "cv0-thermal", None)
        self.zone(10, "tj-thermal", 51250, active=60000)
        self.cooling(0, "pwm-fan", 2)
        self.cooling(1, "cpu-throttle-alert", 0)
        self.cooling(2, "gpu-throttle-alert", 0)
        self.write("sys/class/hwmon/hwmon0/name", "pwmfan")
        self.write("sys/class/hwmon/hwmon3/name", "soctherm_oc")
        for number, count in enumerate((0, 2, 15), start=1):
            self.write(f"sys/class/hwmon/hwmon3/oc{number}_event_cnt", str(count))
        self.gpu("17000000.gpu", 306, 306, 1020)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def zone(self, number: int, name: str, millidegrees: int | None, **trips: int) -> None:
        folder = f"sys/class/thermal/thermal_zone{number}"
        self.write(f"{folder}/type", f"{name}\n")
        if millidegrees is not None:
            self.write(f"{folder}/temp", f"{millidegrees}\n")
        for index, (kind, degrees) in enumerate(trips.items()):
            self.write(f"{folder}/trip_point_{index}_type", f"{kind}\n")
            self.write(f"{folder}/trip_point_{index}_temp", f"{degrees}\n")

    def cooling(self, number: int, name: str, state: int) -> None:
        folder = f"sys/class/thermal/cooling_device{number}"
        self.write(f"{folder}/type", f"{name}\n")
        self.write(f"{folder}/cur_state", f"{state}\n")

    def gpu(self, name: str, *megahertz: int) -> None:
        for kind, number in zip(("cur", "min", "max"), megahertz):
            self.write(f"sys/class/devfreq/{name}/{kind}_freq", f"{number * 10**6}\n")

    def read(self) -> BoardReading:
        total, free = self.shared_mb
        size = SimpleNamespace(f_blocks=total * 256, f_bavail=free * 256, f_frsize=4096)
        return BoardFiles(self.root, lambda path: size).read()  # type: ignore[arg-type,return-value]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_a_board_is_read_from_its_files(board, monkeypatch):
    monkeypatch.setattr("jetson_detect.core.board_health.board_files._PAGE_MB", 1 / 256)
    reading = board.read()
    assert reading.model == "NVIDIA Jetson Orin Nano Developer Kit"
    assert reading.power_mode == PowerMode(1, "25W", PowerMode(2, "MAXN_SUPER"))
    assert reading.zones == (
        ThermalZone("cpu-thermal", 51.25, 99.0, 104.5),
        ThermalZone("gpu-thermal", 49.5, 99.0, 104.5),
        ThermalZone("tj-thermal", 51.25),
    )
    assert reading.alerts == ()
    assert reading.over_current == {"oc1": 0, "oc2": 2, "oc3": 15}
    assert reading.gpu_clock == GpuClock(306.0, 306.0, 1020.0)
    assert reading.memory == MemoryReading(
        total_mb=7812.5,
        available_mb=3907.0,
        swap_total_mb=4000.0,
        swap_used_mb=1000.0,
        swapped_in_mb=2.0,
        shared_total_mb=1024.0,
        shared_free_mb=512.0,
    )


def test_a_machine_without_any_of_it_says_nothing_and_is_well(tmp_path):
    def missing(path: Path) -> Any:
        raise FileNotFoundError(path)

    reading = BoardFiles(tmp_path, missing).read()
    assert reading == BoardReading()
    assert judge(reading, reading, 5.0) == ()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("pmode:0002", PowerMode(2, "MAXN_SUPER")),
        ("pmode:0003 fmode:quiet", PowerMode(3, "7W", PowerMode(2, "MAXN_SUPER"))),
        ("pmode:0008", PowerMode(8, "", PowerMode(2, "MAXN_SUPER"))),
        ("", None),
    ],
)
def test_the_power_mode_is_the_one_that_was_set_last(board, status, expected):
    board.write("var/lib/nvpmodel/status", status)
    assert board.read().power_mode == expected


def test_the_fastest_mode_is_the_one_whose_clocks_are_raised_further(board):
    board.write("etc/nvpmodel.conf", NVPMODEL.replace("NAME=15W", "NAME=MAXN"))
    assert board.read().power_mode == PowerMode(1, "25W", PowerMode(2, "MAXN_SUPER"))


def test_zones_that_are_off_or_never_true_are_left_out(board):
    board.zone(3, "PMIC-Die", 100000)
    board.zone(4, "gpu-thermal", -256000)
    board.zone(5, "soc0-thermal", None)
    assert [zone.name for zone in board.read().zones] == [
        "cpu-thermal",
        "gpu-thermal",
        "tj-thermal",
    ]


@pytest.mark.parametrize("name", ["17000000.gpu", "17000000.gv11b", "57000000.gpu", "gpu-gpc-0"])
def test_the_gpus_clock_is_found_under_the_names_that_boards_have(tmp_path, name):
    board = Board(tmp_path / "board")
    for file in (board.root / "sys/class/devfreq/17000000.gpu").iterdir():
        file.unlink()
    board.gpu(name, 500, 300, 900)
    board.gpu("15340000.vic", 115, 115, 700)
    assert board.read().gpu_clock == GpuClock(500.0, 300.0, 900.0)


def texts(concerns: tuple[Concern, ...], seriousness: Seriousness) -> list[str]:
    return [each.text for each in concerns if each.seriousness is seriousness]


def test_a_healthy_board_has_hints_alone(board):
    concerns = judge(board.read())
    assert [each.seriousness for each in concerns] == [Seriousness.HINT, Seriousness.HINT]
    assert "power mode 25W (1): sudo nvpmodel -m 2 (MAXN_SUPER) is faster" in concerns[0].text
    assert "sudo jetson_clocks keeps it at 1020 MHz" in concerns[1].text


def test_a_board_at_its_fastest_has_no_hints(board):
    board.write("var/lib/nvpmodel/status", "pmode:0002")
    board.gpu("17000000.gpu", 1020, 1020, 1020)
    assert judge(board.read()) == ()


@pytest.mark.parametrize(
    ("degrees", "seriousness"),
    [(93.9, None), (94.0, Seriousness.WARNING), (102.4, Seriousness.WARNING), (102.5, "error")],
)
def test_heat_is_told_five_degrees_before_clocks_are_lowered(board, degrees, seriousness):
    board.zone(0, "cpu-thermal", round(degrees * 1000), passive=99000, critical=104500)
    concerns = judge(board.read())
    warnings, errors = (texts(concerns, each) for each in (Seriousness.WARNING, Seriousness.ERROR))
    if seriousness is None:
        assert warnings == errors == []
    elif seriousness == "error":
        assert len(errors) == 1
        assert errors[0].startswith("cpu-thermal has 102 °C and the board switches itself off at")
        assert concerns[0].seriousness is Seriousness.ERROR
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert "from 99 °C on clocks are lowered: let the fan turn faster" in warnings[0]
        assert "nvpmodel -m" in warnings[0]


def test_throttling_and_a_hot_surface_are_told_apart(board):
    board.cooling(2, "gpu-throttle-alert", 1)
    board.cooling(3, "hot-surface-alert", 1)
    throttled, hot = texts(judge(board.read()), Seriousness.WARNING)
    assert "clocks are lowered because of the temperature (gpu-throttle-alert)" in throttled
    assert "too hot to touch" in hot


def test_over_current_is_told_when_it_happens_and_not_for_ever(board):
    before = board.read()
    assert texts(judge(before, before, 5.0), Seriousness.WARNING) == []
    board.write("sys/class/hwmon/hwmon3/oc3_event_cnt", "18")
    (warning,) = texts(judge(board.read(), before, 5.0), Seriousness.WARNING)
    assert "lowered 3 times in 5 s because the current was too high for a moment" in warning
    assert "stronger power supply" in warning


def memory(**values: float) -> BoardReading:
    return BoardReading(memory=MemoryReading(**values))


def test_little_memory_is_told_with_a_word_on_swap():
    (concern,) = judge(memory(total_mb=1000.0, available_mb=49.0, swap_total_mb=0.0))
    assert concern.seriousness is Seriousness.WARNING
    assert "only 49 MB of memory (5%) are left" in concern.text
    assert "there is no swap" in concern.text
    (concern,) = judge(memory(total_mb=1000.0, available_mb=49.0, swap_total_mb=500.0))
    assert "there is no swap" not in concern.text
    assert judge(memory(total_mb=1000.0, available_mb=50.0)) == ()


def test_swapping_is_told_by_what_is_read_back_in_the_meantime():
    (concern,) = judge(memory(swapped_in_mb=111.0), memory(swapped_in_mb=100.0), 5.0)
    assert "2 MB/s are read back from swap" in concern.text
    assert judge(memory(swapped_in_mb=105.0), memory(swapped_in_mb=100.0), 5.0) == ()


def test_a_containers_shared_memory_is_too_small_for_images():
    (concern,) = judge(memory(shared_total_mb=64.0, shared_free_mb=64.0))
    assert "/dev/shm has 64 MB left" in concern.text
    assert "--shm-size=1g" in concern.text
    assert judge(memory(shared_total_mb=64.0, shared_free_mb=67.0)) == ()


class TestWatch:
    """A board that is asked again and again."""

    @pytest.fixture(autouse=True)
    def watch(self) -> None:
        self.now = 0.0
        self.reading = BoardReading(over_current={"oc1": 0})
        self.reads = 0
        self.watch_of = BoardWatch(self._read, lambda: self.now)

    def _read(self) -> BoardReading:
        self.reads += 1
        return self.reading

    def health_at(self, now: float) -> BoardHealth:
        self.now = now
        return self.watch_of.health()

    def test_files_are_read_every_five_seconds_at_most(self):
        for now in (0.0, 1.0, 4.9):
            self.health_at(now)
        assert self.reads == 1
        self.health_at(5.0)
        assert self.reads == 2

    def test_what_happened_in_between_is_told_for_a_minute(self):
        assert self.health_at(0.0).worst is Seriousness.HINT
        self.reading = BoardReading(over_current={"oc1": 4})
        assert self.health_at(10.0).worst is Seriousness.WARNING
        health = self.health_at(69.0)
        assert [each.text for each in health.concerns if "4 times in 10 s" in each.text]
        assert self.health_at(75.0).concerns == ()

    def test_what_happens_again_is_told_once(self):
        for now in range(0, 60, 10):
            self.reading = BoardReading(over_current={"oc1": now, "oc2": now})
            health = self.health_at(float(now))
        assert sorted(each.event for each in health.concerns) == ["oc1", "oc2"]

    def test_what_is_over_is_not_told_any_more(self):
        self.reading = BoardReading(alerts=("cpu-throttle-alert",))
        assert self.health_at(0.0).worst is Seriousness.WARNING
        self.health_at(6.0)
        self.reading = BoardReading()
        assert self.health_at(12.0).concerns == ()
