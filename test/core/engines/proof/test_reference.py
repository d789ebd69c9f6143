from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jetson_detect.core.backends import BackendError, BackendUnavailableError
from jetson_detect.core.detections import Detections
from jetson_detect.core.engines.proof import (
    FaultyNetworkError,
    ProofError,
    Reference,
    run_reference,
)
from jetson_detect.core.engines.proof.frame_run import FrameRun, NetworkFacts
from jetson_detect.core.model import Format, HeadSpec, ModelFile
from jetson_detect.core.sample_frames import frames_sha256
from jetson_detect.core.timing import Latency


def same(first: Detections, second: Detections) -> None:
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.class_ids, second.class_ids)
    assert (first.angles is None) == (second.angles is None)
    if first.angles is not None and second.angles is not None:
        np.testing.assert_array_equal(first.angles, second.angles)


def test_a_reference_holds_what_the_source_answers_and_costs(bench):
    reference = bench.reference()
    run = reference.run
    assert reference.model == "demo"
    assert reference.frames_sha256 == frames_sha256(bench.frames)
    assert [len(each) for each in run.detections] == [1] * 6
    # Centre (10.5, 20.25) cells of 4 pixels, 10 x 6 cells.
    np.testing.assert_allclose(run.detections[0].boxes, [[22, 69, 62, 93]], atol=1e-4)
    facts = run.facts
    assert (facts.file, facts.format, facts.precision) == ("source", "saved_model", "fp32")
    assert (facts.backend, facts.runtime, facts.device) == ("stub", "none", "nowhere")
    for latency in (facts.inference, facts.detection):
        assert latency.runs == 5
        assert 0 < latency.p50_ms <= latency.p95_ms
        assert latency.per_second == 1e3 / latency.mean_ms
    assert facts.inference.p50_ms < facts.detection.p50_ms
    assert facts.rss_mb > 10


def test_latency_is_told_by_percentiles():
    latency = Latency.of(np.arange(1.0, 102.0))
    assert latency == Latency(p50_ms=51.0, p95_ms=96.0, mean_ms=51.0, runs=101)


def test_weak_candidates_are_kept_too(bench):
    answers = bench.answers()
    answers[0]["heatmap"][0, 20, 10, 0] = 0.06
    answers[1]["heatmap"][0, 20, 11, 0] = 0.04
    found = bench.reference(answers).run.detections
    assert [len(each) for each in found[:3]] == [1, 0, 1]
    bold = replace(bench.model, thresholds=replace(bench.model.thresholds, score=0.03))
    assert len(replace(bench, model=bold).reference(answers).run.detections[1]) == 1


def test_outputs_of_evenly_spaced_frames_are_copied(bench):
    answers = bench.answers()
    expected = {name: output.copy() for name, output in answers[1].items()}
    options = replace(bench.options, tensor_frames=2)
    tensors = replace(bench, options=options).reference(answers).run.tensors
    assert list(tensors) == [1, 4]
    for outputs in answers:  # as a backend does that answers with the same memory again
        for output in outputs.values():
            output[:] = 7
    for name, output in tensors[1].items():
        np.testing.assert_array_equal(output, expected[name])


def test_outputs_are_kept_as_long_as_there_is_room(bench):
    megabyte = {"heatmap": np.zeros((1, 160, 160, 6), np.float32)}  # 0.59 MB
    answers = [{**each, **megabyte} for each in bench.answers()]
    for outputs in answers:
        outputs["offset"] = np.zeros((1, 160, 160, 2), np.float32)  # 0.2 MB
        outputs["size"] = np.zeros((1, 160, 160, 2), np.float32)
    options = replace(bench.options, tensor_mb=2)
    assert list(replace(bench, options=options).reference(answers).run.tensors) == [0, 1]


def test_outputs_go_by_the_names_of_model_yaml(bench):
    own = {"heatmap": "Identity", "offset": "Identity_1", "size": "Identity_2"}
    answers = [{own[name]: output for name, output in each.items()} for each in bench.answers()]
    named = replace(bench, source=replace(bench.source, tensors=own))
    assert set(named.reference(answers).run.tensors[0]) == {"heatmap", "offset", "size"}


def test_a_saved_reference_comes_back(bench, tmp_path):
    reference = bench.reference()
    reference.save(tmp_path / "reference")
    loaded = Reference.load(tmp_path / "reference")
    assert loaded.model == reference.model
    assert loaded.frames_sha256 == reference.frames_sha256
    assert loaded.run.facts == reference.run.facts
    assert loaded.run.head == reference.run.head
    assert loaded.run.listed is False
    for ours, theirs in zip(loaded.run.detections, reference.run.detections):
        same(ours, theirs)
    assert list(loaded.run.tensors) == list(reference.run.tensors)
    for index, tensors in reference.run.tensors.items():
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(loaded.run.tensors[index][name], tensor)
            assert loaded.run.tensors[index][name].dtype == tensor.dtype


LATENCY = Latency(1.0, 2.0, 1.5, 10)
FACTS = NetworkFacts("f", "onnx", "fp32", "stub", "none", "nowhere", LATENCY, LATENCY, 1.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.booleans())
def test_any_number_of_detections_comes_back(tmp_path, counts, turned):
    random = np.random.default_rng(sum(counts))
    found = tuple(
        Detections(
            random.random((count, 4), np.float32),
            random.random((count, 1), np.float32),
            random.integers(-1, 90, (count, 1)).astype(np.int32),
            random.random(count).astype(np.float32) if turned else None,
        )
        for count in counts
    )
    hashes = tuple(str(index) for index in range(len(counts)))
    run = FrameRun(FACTS, HeadSpec("ssd", {}, {"anchors": [1, 2]}), True, hashes, found)
    Reference("m", run).save(tmp_path / "r.npz")
    loaded = Reference.load(tmp_path / "r.npz").run
    assert (loaded.head, loaded.listed, loaded.frame_hashes) == (run.head, True, hashes)
    assert len(loaded.detections) == len(found)
    for ours, theirs in zip(loaded.detections, found):
        same(ours, theirs)


def test_a_damaged_or_missing_reference_is_refused_with_the_remedy(bench, tmp_path):
    path = tmp_path / "r.npz"
    with pytest.raises(ProofError, match=r"r\.npz: is no reference .*: run the source again"):
        Reference.load(path)
    bench.reference().save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"not a zip", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ProofError, match="run the source again"):
            Reference.load(path)


def test_a_reference_of_another_layout_is_refused(bench, tmp_path):
    path = tmp_path / "r.npz"
    bench.reference().save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    document = json.loads(str(arrays["document"]))
    arrays["document"] = np.array(json.dumps({**document, "layout": 99}))
    np.savez(path, **arrays)
    with pytest.raises(ProofError, match="layout 99"):
        Reference.load(path)


def test_a_source_without_frames_is_refused(bench):
    with pytest.raises(ProofError, match=r"model\.yaml: there are no frames"):
        replace(bench, frames=[]).reference()


def test_a_source_that_fails_on_a_frame_is_named_with_the_frame(bench):
    answers = bench.answers()
    answers[2]["size"][0, 0, 0, 0] = np.inf
    expected = r"^source: frame 2: output 'size' has 1 of 3200 numbers that are not finite$"
    with pytest.raises(FaultyNetworkError, match=expected):
        bench.reference(answers)


def test_a_source_that_does_not_load_names_its_file_once(bench):
    def refuses(file: ModelFile, options: object) -> None:
        raise BackendError(f"{file.path}: is damaged")

    with pytest.raises(FaultyNetworkError, match=r"^source: is damaged$"):
        run_reference(bench.model, bench.source, bench.frames, opener=refuses)


def test_a_backend_that_is_missing_is_not_the_sources_fault(bench, tmp_path):
    def refuses(file: ModelFile, options: object) -> None:
        raise BackendUnavailableError("no library")

    with pytest.raises(BackendUnavailableError, match="no library"):
        run_reference(bench.model, bench.source, bench.frames, opener=refuses)


def test_a_file_is_opened_by_the_backend_of_its_format(bench, tmp_path):
    missing = ModelFile(Format.TFLITE, tmp_path / "none.tflite")
    with pytest.raises(FaultyNetworkError, match=r"none\.tflite: no such file"):
        run_reference(bench.model, missing, bench.frames)


def test_the_network_is_closed_whatever_happens(bench):
    opened = []

    def opener(file: ModelFile, options: object):
        opened.append(bench.opener(bench.answers())(file, options))
        return opened[-1]

    run_reference(bench.model, bench.source, bench.frames, bench.options, opener)
    strange = replace(bench.source, tensors={"size": "nothing"})
    with pytest.raises(FaultyNetworkError, match="has no output nothing"):
        run_reference(bench.model, strange, bench.frames, bench.options, opener)
    assert [each.closed for each in opened] == [True, True]
