"""Checks as JUnit XML, which GitHub, GitLab and Jenkins show as tests.

The elements and attributes are those that Jenkins' xUnit plugin describes, which the others read
too: https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from jetson_detect.core.replay_limits import Check

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped: https://www.w3.org/TR/xml/#charsets."""


def junit_xml(
    suite: str,
    checks: Sequence[Check],
    duration_s: float,
    properties: Mapping[str, str],
    problem: str = "",
) -> str:
    """Write a test suite: a test case for each check, named by its limit, its class the topic.

    Parameters
    ----------
    suite
        Name of the suite.
    checks
        A failed one is a failure, with its numbers and the worst frames.
    duration_s
        Of the whole replay, seconds; a check has none of its own.
    properties
        What it ran on.
    problem
        Why the replay did not come to its end: one more test case, an error.

    """
    failures = sum(not check.passed for check in checks)
    totals = {
        "tests": str(len(checks) + bool(problem)),
        "failures": str(failures),
        "errors": str(int(bool(problem))),
        "time": f"{duration_s:.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": "replay", **totals})
    when = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    element = ElementTree.SubElement(
        root, "testsuite", {"name": _clean(suite), "timestamp": when, "skipped": "0", **totals}
    )
    holder = ElementTree.SubElement(element, "properties")
    for name, value in properties.items():
        ElementTree.SubElement(holder, "property", {"name": _clean(name), "value": _clean(value)})
    for check in checks:
        case = _case(element, check.topic, check.name)
        if not check.passed:
            _outcome(case, "failure", check.name, check.verdict, str(check))
    if problem:
        _outcome(_case(element, suite, "finished"), "error", "replay", problem, problem)
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode()
    return text + "\n"


def _case(suite: ElementTree.Element, topic: str, name: str) -> ElementTree.Element:
    # Readers split class names at dots, and show what is between as a tree.
    class_name = topic.strip("/").replace("/", ".")
    return ElementTree.SubElement(
        suite, "testcase", {"classname": _clean(class_name), "name": _clean(name), "time": "0.000"}
    )


def _outcome(case: ElementTree.Element, tag: str, kind: str, message: str, text: str) -> None:
    outcome = ElementTree.SubElement(case, tag, {"type": kind, "message": _clean(message)})
    outcome.text = _clean(text)


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("�", text)
