from __future__ import annotations

import array

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from jetson_detect.conversion.images import ImageWriter, pixels_from_image
from jetson_detect.core.pixels import PixelError

PICTURE = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_a_written_image_reads_back_the_same():
    header = Header(frame_id="front")
    message = ImageWriter()(PICTURE, header)
    assert (message.header, message.encoding, message.step) == (header, "bgr8", 21)
    np.testing.assert_array_equal(pixels_from_image(message).data, PICTURE)


def test_the_writer_takes_pictures_of_changing_size():
    write = ImageWriter()
    write(PICTURE, Header())
    message = write(PICTURE[:2, ::2], Header())
    assert (message.width, message.height, len(message.data)) == (4, 2, 24)
    np.testing.assert_array_equal(pixels_from_image(message).data, PICTURE[:2, ::2])


def test_pixels_share_the_messages_memory():
    message = ImageWriter()(PICTURE, Header())
    pixels = pixels_from_image(message)
    message.data[0] = (int(message.data[0]) + 1) % 256
    assert pixels.data[0, 0, 0] == message.data[0]


def test_a_message_that_contradicts_itself_is_refused():
    message = Image(width=4, height=4, step=12, encoding="bgr8", data=array.array("B", bytes(47)))
    with pytest.raises(PixelError, match="47 bytes of data, but 4x4 bgr8 with step 12 needs 48"):
        pixels_from_image(message)
