from __future__ import annotations

import base64
import builtins
import importlib
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from jetson_detect.core.pixels import Pixels
from jetson_detect.core.replay_limits import Check
from jetson_detect.report.errors import ReportError
from jetson_detect.report.html_report import HtmlReport
from jetson_detect.report.topic_record import PictureChoice

BALL = (0, 0.9, (10, 10, 30, 30))
BOX = (1, 0.8, (60, 40, 90, 80))
SCRIPT = "<script>alert('x')</script>"
QUOTE = '"><img src=x onerror=alert(1)>'
_VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """What a browser would find in the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.lines: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style") and data.strip():
            self.lines.append(" ".join(data.split()))

    def all(self, tag: str, of_class: str = "") -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and (not of_class or of_class in attributes.get("class", "").split())
        ]

    def headlines(self) -> dict[str, str]:
        block = re.search(r'<dl class="headlines">(.*?)</dl>', self.text, re.S).group(1)
        return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", block))

    def tables(self) -> list[list[list[str]]]:
        """The texts of all cells, by table and row."""
        return [
            [
                [
                    " ".join(re.sub(r"<[^>]*>", "", cell).split())
                    for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
                ]
                for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.S)
            ]
            for table in re.findall(r"<table[^>]*>(.*?)</table>", self.text, re.S)
        ]


@pytest.fixture
def written(tmp_path):
    def write(report: HtmlReport, **arguments) -> Page:
        path = tmp_path / "report.html"
        report.write(path, **arguments)
        return Page(path.read_text(encoding="utf-8"))

    return write


def test_the_first_numbers_are_those_of_all_frames(written, make_frame, objects):
    report = HtmlReport("a run")
    for number in range(101):
        report.add(
            make_frame(
                number, objects(BALL), truth=objects(BALL, BOX), latency_ms=float(number + 1)
            )
        )
    report.add_lost("/camera/image_raw")
    page = written(report)
    assert page.headlines() == {
        "frames": "102",
        "answered": "101",
        "frames a second, by stamps": "10.0",
        "latency p50": "51.0 ms",
        "latency p99": "100.0 ms",
        "mAP50": "0.500",
        "mAP50-95": "0.500",
        "missed, by truth": "101",
        "extra, by truth": "0",
    }
    assert page.lines.count("a run") == 2  # title and heading


def test_detections_are_told_by_class_beside_what_they_are_compared_with(
    written, make_frame, objects
):
    report = HtmlReport("a run")
    report.add(make_frame(0, objects(BALL, BOX), truth=objects(BALL), golden=objects(BOX)))
    report.add(make_frame(1, objects(BALL), truth=objects(BALL), golden=objects()))
    _, classes = written(report).tables()
    assert classes == [
        ["class", "over time", "found", "truth", "golden", "AP50", "a frame"],
        ["ball", "", "2", "2", "0", "1.000", "1.00"],
        ["box", "", "1", "0", "1", "–", "0.50"],
    ]


def test_the_worst_frames_are_listed_by_stamp_and_lead_to_their_pictures(
    written, make_frame, objects
):
    report = HtmlReport("a run", choice=PictureChoice(evenly=1, worst=2))
    for number in range(20):
        known = {7: objects(BALL, BOX), 13: objects(BALL), 15: objects(BALL)}
        truth = known.get(number, objects())
        # However long they took: the next run shows the same frames.
        report.add(make_frame(number, truth=truth, latency_ms=2.0 + (number == 15)))
    page = written(report)
    worst = page.tables()[0]
    assert worst[1:] == [
        ["7", "1700000000.700000000", "2", "0", "2.0 ms"],
        ["13", "1700000001.300000000", "1", "0", "2.0 ms"],
    ]
    links = [link["href"] for link in page.all("a")]
    assert links == ["#frame-0-7", "#frame-0-13"]
    figures = page.all("figure", "frame")
    assert [each["id"] for each in figures] == [
        "frame-0-0",
        "frame-0-7",
        "frame-0-13",
        "frame-0-16",
    ]
    assert [each["id"] for each in page.all("figure", "worst")] == ["frame-0-7", "frame-0-13"]


def test_without_anything_to_compare_with_the_slowest_frames_are_the_worst(written, make_frame):
    report = HtmlReport("a run", choice=PictureChoice(worst=1))
    for number, latency in enumerate((1.0, 9.0, 3.0)):
        report.add(make_frame(number, latency_ms=latency))
    page = written(report)
    assert "Slowest frames" in page.lines
    assert page.tables()[0][1:] == [["1", "1700000000.100000000", "9.0 ms"]]


def test_a_frame_lies_under_its_objects_and_is_told_in_words(written, make_frame, objects):
    image = np.zeros((120, 160, 3), np.uint8)
    image[:, :80] = (0, 0, 250)
    report = HtmlReport("a run", choice=PictureChoice(jpeg_quality=95))
    report.add(
        make_frame(
            3, objects(BALL), pixels=Pixels.from_array(image), truth=objects(BOX), latency_ms=1.5
        )
    )
    page = written(report)
    (picture,) = page.all("img")
    assert picture["alt"] == "Frame 0 of /camera/image_raw: extra: ball 0.90, missed: box"
    assert (picture["width"], picture["height"]) == ("160", "120")
    data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    # JPEG mixes the colours of neighbours.
    assert np.abs(shown.astype(int) - image)[:, np.r_[:70, 90:160]].max() <= 4
    polygons = [(each["class"].split(), each["points"]) for each in page.all("polygon")]
    assert polygons == [
        (["truth", "missed"], "60.0,40.0 90.0,40.0 90.0,80.0 60.0,80.0"),
        (["found", "extra"], "10.0,10.0 30.0,10.0 30.0,30.0 10.0,30.0"),
    ]
    assert [each["style"] for each in page.all("span", "tag")] == [
        "--hue:222;left:37.50%;top:66.67%",  # below the missed one
        "--hue:0;left:6.25%;top:8.33%;transform:translateY(-100%)",
    ]


def test_large_pictures_are_shrunk_and_their_objects_stay_in_place(written, make_frame, objects):
    pixels = Pixels.from_array(np.zeros((1200, 1600, 3), np.uint8))
    report = HtmlReport("a run", choice=PictureChoice(longest_side=400))
    report.add(make_frame(0, objects(BALL), pixels=pixels))
    page = written(report)
    (picture,) = page.all("img")
    data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (300, 400, 3)
    assert picture["width"] == "1600"
    assert page.all("polygon")[0]["points"].startswith("10.0,10.0")
    assert 'viewBox="0 0 1600 1200"' in page.text


def test_a_narrow_picture_is_shrunk_to_no_less_than_a_pixel(written, make_frame):
    report = HtmlReport("a run", choice=PictureChoice(longest_side=400))
    report.add(make_frame(pixels=Pixels.from_array(np.zeros((2000, 1, 3), np.uint8))))
    (picture,) = written(report).all("img")
    data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (400, 1, 3)


def test_a_picture_may_change_once_its_frame_is_added(written, make_frame):
    image = np.full((8, 8, 3), 200, np.uint8)
    report = HtmlReport("a run")
    report.add(make_frame(pixels=Pixels.from_array(image)))
    image[:] = 0
    (picture,) = written(report).all("img")
    data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).min() == 200


def test_the_file_stays_small_and_the_worst_frames_in_it(written, make_frame, objects):
    noise = np.random.default_rng(5).integers(0, 256, (240, 320, 3), np.uint8)
    report = HtmlReport("a run", choice=PictureChoice(max_megabytes=0.6))
    for number in range(100):
        truth = objects(BALL) if number in (31, 62) else objects()
        report.add(make_frame(number, pixels=Pixels.from_array(noise), truth=truth))
    page = written(report)
    shown = [each["id"] for each in page.all("figure", "frame")]
    assert {"frame-0-31", "frame-0-62"} < set(shown)
    assert 5 < len(shown) < 24
    assert len(page.text) < 0.6e6 * 4 / 3 + 50_000


def test_names_from_outside_are_text_whatever_they_hold(written, make_frame, objects):
    report = HtmlReport(SCRIPT, environment={QUOTE: SCRIPT})
    report.add(
        make_frame(
            0,
            objects(BALL),
            topic=QUOTE,
            labels=[SCRIPT],
            truth=objects(BALL, (0, 1.0, (60, 60, 70, 70))),
            latency_ms=1.0,
        )
    )
    check = Check(SCRIPT, QUOTE, False, SCRIPT, QUOTE)
    page = written(report, checks=[check])
    assert len(page.all("script")) == 2
    assert "alert" not in "".join(re.findall(r"<script>(.*?)</script>", page.text, re.S))
    (picture,) = page.all("img")
    assert picture["src"].startswith("data:image/jpeg;base64,")
    assert not [tag for tag, attributes in page.tags if "onerror" in attributes]
    assert page.text.count("&lt;script&gt;alert") > 5


def test_a_file_name_that_is_no_text_costs_its_letters_alone(written):
    # As Python holds bytes of a file's name that are not UTF-8.
    page = written(HtmlReport("night\udcff drive", environment={"bag": "a\udcfe"}))
    assert "night? drive" in page.lines
    assert page.tables() == [[["bag", "a?"]]]


def test_the_file_needs_nothing_else_and_says_so_to_the_browser(written, make_frame, objects):
    report = HtmlReport("a run")
    report.add(make_frame(0, objects(BALL)))
    page = written(report)
    policy = next(each for each in page.all("meta") if "http-equiv" in each)["content"]
    assert policy.startswith("default-src 'none';")
    sources = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "action", "srcset")
        if name in attributes
    ]
    assert all(each.startswith(("data:", "#")) for each in sources)
    assert not re.search(r"@import|url\(|https?:", page.text)


def test_demands_stand_first_with_the_verdict(written, make_frame):
    report = HtmlReport("a run")
    report.add(make_frame())
    passed = Check("max_missed", "/camera", True, "1", "at most 2")
    failed = Check("max_extra", "/camera", False, "5", "at most 0")
    page = written(report, checks=[passed, failed])
    assert "1 of 2 demands not met" in page.lines
    assert page.tables()[0][1:] == [
        ["max_missed", "yes", "at most 2", "1", "/camera"],
        ["max_extra", "no", "at most 0", "5", "/camera"],
    ]
    assert "all 1 demands met" in written(report, checks=[passed]).lines


def test_each_topic_has_a_section_with_its_own_numbers(written, make_frame, objects):
    report = HtmlReport("a run")
    for number in range(3):
        report.add(make_frame(number, objects(BALL), topic="/front"))
    report.add(make_frame(0, topic="/rear"))
    report.add_lost("/rear")
    page = written(report)
    assert [each["href"] for each in page.all("a")] == ["#topic-0", "#topic-1"]
    assert [each["id"] for each in page.all("section")] == ["topic-0", "topic-1"]
    blocks = re.findall(r"<dt>answered</dt><dd>(.*?)</dd>", page.text)
    assert blocks == ["4", "3", "1"]
    assert page.headlines()["frames"] == "5"


def test_truth_of_a_class_that_the_model_lacks_is_missed_and_left_out_of_map(
    written, make_frame, objects
):
    report = HtmlReport("a run")
    unknown = (-1, 1.0, (60, 60, 80, 80))
    report.add(make_frame(0, objects(BALL), truth=objects(BALL, unknown)))
    page = written(report)
    assert page.headlines()["mAP50"] == "1.000"
    assert page.headlines()["missed, by truth"] == "1"
    assert any(line.startswith("1 objects of the truth are of no class") for line in page.lines)


def test_labels_may_be_added_from_frame_to_frame(written, make_frame, objects):
    report = HtmlReport("a run")
    report.add(make_frame(0, objects(BALL), truth=objects(BALL), labels=["ball"]))
    report.add(make_frame(1, objects(BOX), truth=objects(BOX), labels=["ball", "box"]))
    page = written(report)
    assert page.headlines()["mAP50"] == "1.000"
    assert [row[0] for row in page.tables()[0][1:]] == ["ball", "box"]


def test_time_goes_on_when_a_bag_begins_anew(written, make_frame):
    report = HtmlReport("a run")
    for number in (0, 1, 2, 3, 0, 1, 2, 3):
        report.add(make_frame(number, latency_ms=1.0))
    # 7 in 6 tenths of a second.
    assert written(report).headlines()["frames a second, by stamps"] == "11.7"


def test_a_report_without_frames_says_so(written):
    page = written(HtmlReport("a run"))
    assert "No frame was answered." in page.lines
    assert page.headlines()["frames a second, by stamps"] == "–"


def test_a_topic_all_of_whose_frames_were_lost_has_a_section(written):
    report = HtmlReport("a run")
    report.add_lost("/camera")
    page = written(report)
    assert page.headlines()["frames"] == "1"
    assert "/camera" in page.lines


def test_without_pycocotools_all_but_the_precision_is_told(
    written, make_frame, objects, monkeypatch
):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("pycocotools"):
            raise ImportError("No module named 'pycocotools'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    report = HtmlReport("a run")
    report.add(make_frame(0, objects(BALL), truth=objects(BALL)))
    page = written(report)
    assert page.headlines()["mAP50"] == "–"
    assert any("pip install pycocotools" in line for line in page.lines)


def test_without_jinja2_one_is_told_before_the_replay(monkeypatch):
    def missing(name, *_):
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ReportError, match="pip install jinja2"):
        HtmlReport("a run")


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"nowhere/report\.html: the report cannot be written"):
        HtmlReport("a run").write(tmp_path / "nowhere" / "report.html")
