from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from jetson_detect.commands.replay.junit_file import junit_xml
from jetson_detect.core.replay_limits import Check

KEPT = Check("max_extra", "/front/image_raw", True, "0 extra of 9 objects", "at most 0")
MISSED = Check(
    "max_missed", "/front/image_raw", False, "2 missed of 9 objects", "at most 0",
    ("frame 3: missed <\x07cup>",),
)  # fmt: skip


def suite_of(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    (suite,) = root
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "time")}
    assert counts == {name: root.get(name) for name in counts}
    # Allowed there, but not in the element around it.
    assert (suite.get("skipped"), root.get("skipped")) == ("0", None)
    assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
    assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
    return suite


def test_a_check_is_a_test_case_and_a_failed_one_tells_numbers_and_frames():
    suite = suite_of(junit_xml("drive", [KEPT, MISSED], 1.25, {"model": "demo"}))
    assert (suite.get("name"), suite.get("time")) == ("drive", "1.250")
    assert [case.attrib for case in suite.findall("testcase")] == [
        {"classname": "front.image_raw", "name": "max_extra", "time": "0.000"},
        {"classname": "front.image_raw", "name": "max_missed", "time": "0.000"},
    ]
    (failure,) = suite.findall("testcase/failure")
    message = "max_missed of /front/image_raw: 2 missed of 9 objects (required: at most 0)"
    assert failure.attrib == {"type": "max_missed", "message": message}
    # XML has no place for a bell.
    assert failure.text == f"{message}\n  frame 3: missed <�cup>"
    (property_,) = suite.findall("properties/property")
    assert property_.attrib == {"name": "model", "value": "demo"}


def test_a_replay_that_broke_off_is_an_error_beside_its_checks():
    suite = suite_of(junit_xml("drive", [KEPT], 0.0, {}, "nobody subscribed"))
    (error,) = suite.findall("testcase/error")
    assert (error.get("message"), error.text) == ("nobody subscribed", "nobody subscribed")
    assert suite.get("errors") == "1"
