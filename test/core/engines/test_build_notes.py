from __future__ import annotations

import logging

import pytest

from jetson_detect.core.engines.build_notes import BuildNotes, NoteTaker

# As TensorRT 8.5.3, 8.6 and 10.3 write them.
REQUEST = (
    "Tactic Device request: {}MB Available: {}MB. Device memory is insufficient to use tactic."
)
SKIPPED_8_5 = (
    "Skipping tactic 3 due to insuficient memory on requested size of 538 detected for tactic 4.\n"
    "Try decreasing the workspace size with IBuilderConfig::setMaxWorkspaceSize()."
)
SKIPPED_10 = (
    "UNSUPPORTED_STATE: Skipping tactic 9 due to insufficient memory on requested size of "
    "1048576000 detected for tactic 0x8a196054417f1c8a."
)
SHORTAGE = (
    "Some tactics do not have sufficient workspace memory to run. Increasing workspace size will "
    "enable more tactics, please check verbose output for requested sizes."
)


def taken(*messages: tuple[int, str]) -> BuildNotes:
    taker = NoteTaker()
    for level, text in messages:
        taker.watch(level, text)
    return taker.notes(1.5)


def test_skipped_tactics_are_counted_and_no_warnings_of_their_own():
    notes = taken((logging.WARNING, SKIPPED_8_5), (logging.WARNING, SKIPPED_10))
    assert notes == BuildNotes(skipped_tactics=2, seconds=1.5)


def test_a_tactic_that_was_skipped_for_another_reason_counts_too():
    text = "Skipping tactic 0x0000000000000000 due to exception Cask convolution execution"
    assert taken((logging.WARNING, text)).skipped_tactics == 1


def test_the_largest_request_and_the_least_memory_are_kept():
    texts = [REQUEST.format(538, 166), REQUEST.format(806, 187), REQUEST.format(531, 185)]
    notes = taken(*((logging.WARNING, text) for text in texts))
    assert (notes.workspace_shortages, notes.largest_request_mb) == (3, 806)
    assert notes.least_available_mb == 166
    assert notes.warnings == ()


def test_no_memory_at_all_is_the_least_memory():
    notes = taken((logging.WARNING, REQUEST.format(5, 0)), (logging.WARNING, REQUEST.format(5, 7)))
    assert notes.least_available_mb == 0


def test_a_shortage_counts_though_it_is_logged_at_debug():
    assert taken((logging.DEBUG, SHORTAGE)).workspace_shortages == 1


def test_other_lines_below_a_warning_are_no_notes():
    assert taken((logging.DEBUG, "Detected 1 inputs")) == BuildNotes(seconds=1.5)
    assert taken((logging.ERROR, "no memory")).warnings == ()


def test_warnings_that_differ_in_numbers_are_told_once_with_their_count():
    notes = taken(
        (logging.WARNING, "weight 3 at 0x7f00 was clamped"),
        (logging.WARNING, "old cuDNN"),
        (logging.WARNING, "weight 4 at 0x8f00 was clamped"),
    )
    assert notes.warnings == ("weight 3 at 0x7f00 was clamped (2 times)", "old cuDNN")


def test_a_flood_of_warnings_is_cut_off():
    names = [f"{chr(97 + index // 26)}{chr(97 + index % 26)}" for index in range(90)]
    notes = taken(*((logging.WARNING, f"layer {name}") for name in names))
    assert len(notes.warnings) == 50


@pytest.mark.parametrize(
    ("notes", "advice"),
    [
        (BuildNotes(largest_request_mb=4000, least_available_mb=2000), "give workspace_mb: 4000"),
        (
            BuildNotes(largest_request_mb=800, least_available_mb=100),
            "close what else uses the GPU: 800 MB were asked for, 100 MB were free",
        ),
        (BuildNotes(workspace_shortages=1), "give workspace_mb: 2048"),
        (BuildNotes(skipped_tactics=1), None),
    ],
)
def test_the_advice_fits_what_was_short(notes, advice):
    assert notes.advice(1024) == advice
