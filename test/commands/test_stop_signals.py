from __future__ import annotations

import os
import signal

import pytest

from jetson_detect.commands.stop_signals import StopSignals


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_signal_is_remembered_and_a_second_one_breaks_off(sent, status):
    with StopSignals() as stop:
        assert (stop.requested, stop.exit_status) == (False, 0)
        os.kill(os.getpid(), sent)
        assert (stop.requested, stop.exit_status) == (True, status)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), sent)
        assert stop.exit_status == status


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
