from __future__ import annotations

from jetson_detect.bags.frames import Frame
from jetson_detect.bags.reader import BagMessage
from jetson_detect.commands.replay.display import show_progress


def test_a_long_replay_tells_now_and_then_how_far_it_is(capsys):
    image = BagMessage("/image", "sensor_msgs/msg/Image", 0, b"")
    frames = [Frame(image, number, number, ()) for number in range(3)]
    assert list(show_progress(iter(frames), every_s=3600.0)) == frames
    assert capsys.readouterr().out == ""
    assert list(show_progress(iter(frames), every_s=0.0)) == frames
    assert capsys.readouterr().out.splitlines() == [
        f"{number} images played" for number in (0, 1, 2)
    ]
