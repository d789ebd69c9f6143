from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from jetson_detect.core.backends import BackendError, BackendUnavailableError
from jetson_detect.core.detections import Detections
from jetson_detect.core.engines.proof import Proof, ProofError, ProofLimits, prove
from jetson_detect.core.model import HeadSpec, Precision
from jetson_detect.core.pixels import Pixels
from jetson_detect.core.sample_frames import SampleFrame, frames_sha256

OUTPUTS = ("heatmap", "offset", "size")


@dataclass(frozen=True)
class Layers:
    counts: Mapping[str, int]


def proved(bench, answers=None, reference=None, **options) -> Proof:
    return prove(
        bench.model,
        bench.engine,
        bench.reference() if reference is None else reference,
        bench.frames,
        options=bench.options,
        opener=bench.opener(bench.answers() if answers is None else answers),
        **{"limits": own_limits(bench), **options},
    )


def own_limits(bench) -> ProofLimits:
    return ProofLimits.for_precision(bench.engine.precision, min_objects=1)


def only(sentences: tuple[str, ...], start: str) -> str:
    (found,) = (sentence for sentence in sentences if sentence.startswith(start))
    return found


def scaled(bench, factor: float):
    factor = np.float32(factor)
    return [{name: output * factor for name, output in each.items()} for each in bench.answers()]


def test_an_engine_that_answers_as_its_source_passes(bench):
    proof = proved(bench)
    assert proof.passed
    assert proof.failures == ()
    assert (proof.model, proof.engine, proof.precision) == ("demo", "demo.plan", "fp16")
    assert (proof.frames, proof.frames_sha256) == (6, frames_sha256(bench.frames))
    seen = proof.comparison
    assert [error.name for error in seen.tensors.errors] == list(OUTPUTS)
    assert all(error.relative == error.rms == 0 for error in seen.tensors.errors)
    assert (seen.detections.matched, seen.detections.disagreement) == (6, 0.0)
    assert seen.detections.box_px.largest == 0
    assert seen.against_source.engine50 == pytest.approx(1.0)
    assert seen.against_truth is None
    assert (seen.engine.precision, seen.source.precision) == ("fp16", "fp32")


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_outputs_scaled_by_two_percent_are_refused_by_their_rms(bench, precision):
    bench = replace(bench, engine=bench.as_precision(precision))
    proof = proved(bench, scaled(bench, 1.02))
    for name in OUTPUTS:
        limit = ProofLimits.for_precision(precision).tensor_rms
        sentence = only(proof.failures, f"output {name} has an rms error of 0.02 ")
        assert f"the limit tensor_rms is {limit:g}: " in sentence
    assert not proof.passed


def test_outputs_that_are_swapped_are_refused(bench):
    answers = [{**each, "offset": each["size"], "size": each["offset"]} for each in bench.answers()]
    proof = proved(bench, answers)
    for name in ("offset", "size"):
        assert "tensor_relative is 0.05" in only(proof.failures, f"output {name} is off by up to")
    assert "6 objects are missed" in only(proof.failures, "6 objects are missed")
    only(proof.failures, "mAP50 is 0.0000 with the source's 6 objects as truth, the limit map50")


def test_noise_on_the_outputs_is_refused(bench):
    random = np.random.default_rng(3)
    answers = [
        {
            name: output + random.normal(0, 0.2, output.shape).astype(np.float32)
            for name, output in each.items()
        }
        for each in bench.answers()
    ]
    proof = proved(replace(bench, engine=bench.as_precision(Precision.INT8)), answers)
    assert "calibrate with more frames" in only(proof.failures, "output heatmap has an rms error")
    assert proof.comparison.detections.extra > 0


def test_a_frame_with_a_number_that_is_not_finite_is_refused(bench):
    answers = bench.answers()
    answers[3]["heatmap"][0, 1, 2, 3] = np.nan
    proof = proved(bench, answers)
    (failure,) = proof.failures
    assert failure.startswith(
        "demo.plan: frame 3: output 'heatmap' has 1 of 9600 numbers that are not finite; "
    )
    assert "fp32" in failure
    assert proof.comparison is None
    assert proof.summary() == f"fp16 refused: {failure}; 6 frames"
    assert proof.figures() == {}


def test_an_engine_that_does_not_load_is_refused(bench):
    def refuses(file, options):
        raise BackendError(f"{file.path}: was built with another version")

    proof = prove(bench.model, bench.engine, bench.reference(), bench.frames, opener=refuses)
    assert proof.failures[0].startswith("demo.plan: was built with another version; build it again")


def test_a_machine_that_cannot_run_the_engine_is_no_failure_of_the_engine(bench):
    def refuses(file, options):
        raise BackendUnavailableError("no GPU")

    with pytest.raises(BackendUnavailableError, match="no GPU"):
        prove(bench.model, bench.engine, bench.reference(), bench.frames, opener=refuses)


def test_boxes_that_move_too_far_are_refused_in_pixels_of_the_input(bench):
    frames = [
        SampleFrame(Pixels.from_array(np.repeat(np.repeat(frame.pixels.data, 2, 0), 2, 1)))
        for frame in bench.frames
    ]
    bench = replace(bench, frames=frames)
    answers = bench.answers()
    for outputs in answers:
        outputs["offset"][..., 0] += 0.5  # of a cell of 4 pixels
    limits = ProofLimits.for_precision(Precision.FP16, tensor_rms=None, tensor_relative=None)
    proof = proved(bench, answers, limits=limits)
    (failure,) = proof.failures
    assert failure.startswith(
        "boxes move by up to 2.00 pixels of the network's input in 99 of 100 frames "
        "(4.00 of the picture), the limit box_input_px is 1.5: keep the layers"
    )
    assert proved(bench, answers, limits=replace(limits, box_input_px=2.01)).passed


def test_objects_that_only_one_finds_are_refused(bench):
    answers = bench.answers()
    answers[0]["heatmap"][:] = 0
    limits = ProofLimits.for_precision(Precision.FP16, tensor_rms=None, tensor_relative=None)
    proof = proved(bench, answers, limits=limits)
    assert only(proof.failures, "1 objects are missed and 0 are extra beside 5").startswith(
        "1 objects are missed and 0 are extra beside 5 that both find, 16.7% of all; the limit "
        "disagreement is 2.0%: "
    )
    # 5 of 6 found: 84 of COCO's 101 recalls are reached.
    only(proof.failures, f"mAP50 is {84 / 101:.4f} with the source's 6 objects as truth")
    assert proved(bench, answers, limits=replace(limits, disagreement=0.17, map50=0.8)).passed


def test_an_engine_that_loses_against_the_truth_is_refused(bench):
    truth = [each.upright() for each in bench.reference().run.detections]
    truth[5] = None
    frames = [replace(frame, truth=each) for frame, each in zip(bench.frames, truth)]
    bench = replace(bench, frames=frames)
    answers = bench.answers()
    answers[0]["heatmap"][:] = 0
    proof = proved(bench, answers)
    # 4 of 5.
    assert proof.comparison.against_truth.objects == 5
    only(
        proof.failures,
        f"mAP50 against the truth is {81 / 101:.4f}, and 1.0000 for the source: "
        f"{20 / 101:.4f} less, the limit map50_drop is 0.005: ",
    )
    assert proof.figures()["mAP50 against truth"] == pytest.approx(81 / 101)


def test_an_engine_that_is_better_than_its_source_against_the_truth_is_not_refused_for_it(bench):
    truth = bench.reference().run.detections
    bench = replace(
        bench, frames=[replace(frame, truth=each) for frame, each in zip(bench.frames, truth)]
    )
    blind = bench.answers()
    blind[0]["heatmap"][:] = 0
    proof = proved(bench, reference=bench.reference(blind))
    assert proof.comparison.against_truth.drop50 < 0
    assert not any("against the truth" in sentence for sentence in proof.failures)


def nothing(bench):
    answers = bench.answers()
    for outputs in answers:
        outputs["heatmap"] *= np.float32(0.1)
    return answers


def test_where_the_source_finds_nothing_the_proof_rests_on_the_outputs_and_says_so(bench):
    answers = nothing(bench)
    proof = proved(bench, answers, bench.reference(answers))
    assert proof.passed
    assert proof.comparison.detections.objects == 0
    assert proof.comparison.against_source is None
    only(
        proof.warnings,
        "the source finds no object of score 0.45 or more, so that the proof rests on the raw "
        "outputs alone",
    )


def test_where_neither_detections_nor_outputs_say_anything_the_engine_is_refused(bench):
    answers = nothing(bench)
    reference = bench.reference(answers)
    unjudged = replace(own_limits(bench), tensor_rms=None, tensor_relative=None)
    proof = proved(bench, answers, reference, limits=unjudged)
    sentence = only(proof.failures, "nothing can be compared: ")
    assert "(no limit is set for them): give frames that show" in sentence
    none_kept = replace(bench, options=replace(bench.options, tensor_frames=0))
    proof = proved(none_kept, answers, reference)
    assert "more memory than tensor_mb" in only(proof.failures, "nothing can be compared: ")


def test_an_engine_that_finds_what_its_source_does_not_is_refused(bench):
    proof = proved(bench, reference=bench.reference(nothing(bench)))
    # The source has them as weak candidates: that is no disagreement, but the outputs are.
    assert proof.comparison.detections.extra == 0
    only(proof.failures, "output heatmap is off by up to 9 of the source's largest value")


def test_few_objects_are_told_of(bench):
    proof = proved(bench, limits=ProofLimits.for_precision(Precision.FP16))
    only(proof.warnings, "the source finds only 6 objects, fewer than 30 (min_objects)")


def test_an_engine_with_a_head_of_its_own_is_compared_by_its_detections(bench):
    own = {"heatmap": "raw_heatmap", "offset": "raw_offset", "size": "raw_size"}
    answers = [{own[name]: output for name, output in each.items()} for each in bench.answers()]
    engine = replace(bench.engine, head=HeadSpec("centernet", own, {"size_encoding": "log"}))
    proof = proved(replace(bench, engine=engine), answers)
    assert proof.passed
    assert proof.comparison.tensors.errors == ()
    assert [each.split(":")[0] for each in proof.comparison.tensors.skipped] == list(OUTPUTS)
    assert proof.comparison.detections.matched == 6
    assert "tensors" not in proof.summary()


def test_outputs_are_matched_by_the_names_of_model_yaml(bench):
    own = {"heatmap": "Identity", "offset": "Identity_1", "size": "Identity_2"}
    answers = [{own[name]: output for name, output in each.items()} for each in bench.answers()]
    proof = proved(replace(bench, engine=replace(bench.engine, tensors=own)), answers)
    assert [error.name for error in proof.comparison.tensors.errors] == list(OUTPUTS)
    assert proof.passed


def test_an_output_of_another_shape_is_refused(bench):
    answers = [
        {name: output[:, :20, :20] for name, output in each.items()} for each in bench.answers()
    ]
    proof = proved(bench, answers)
    assert only(proof.failures, "output heatmap: has shape").startswith(
        "output heatmap: has shape (1, 20, 20, 6) in the engine and (1, 40, 40, 6) in the source: "
    )


def test_a_reference_of_other_frames_is_refused(bench):
    reference = bench.reference()
    other = Pixels.from_array(np.full((160, 160, 3), 5, np.uint8))
    changed = [*bench.frames[:4], SampleFrame(other), bench.frames[5]]
    with pytest.raises(ProofError, match="frame 4 is another than the one that the reference was"):
        proved(replace(bench, frames=changed), reference=reference)
    with pytest.raises(ProofError, match="the reference is of 6 frames, not of 5"):
        proved(replace(bench, frames=bench.frames[:5]), reference=reference)


def test_a_reference_of_another_model_is_refused(bench):
    reference = replace(bench.reference(), model="other")
    with pytest.raises(ProofError, match="the reference is of the model 'other', not of 'demo'"):
        proved(bench, reference=reference)


@pytest.mark.parametrize(
    ("counts", "failure"),
    [
        (
            {"FP32": 40, "FP16": 0},
            "0% of the layers run in fp16 (40 in FP32, 0 in FP16), the limit",
        ),
        ({"FP32": 40, "FP16": 1}, None),
        ({"INT8": 4}, "0% of the layers run in fp16"),
        ({"unknown": 9, "FP16": 1}, None),
    ],
)
def test_an_fp16_engine_without_half_layers_is_refused(bench, counts, failure):
    proof = proved(bench, layers=Layers(counts))
    assert proof.passed is (failure is None)
    if failure is not None:
        only(proof.failures, failure)
    assert proof.comparison.layers == counts


def test_a_share_of_layers_can_be_asked_for(bench):
    layers = Layers({"FP32": 3, "FP16": 1, "unknown": 6})
    limits = replace(own_limits(bench), layer_share=0.25)
    assert proved(bench, layers=layers, limits=limits).passed
    proof = proved(bench, layers=layers, limits=replace(limits, layer_share=0.3))
    only(proof.failures, "25% of the layers run in fp16 (3 in FP32, 1 in FP16, 6 in unknown), the")


def test_an_fp32_engine_may_have_any_layers(bench):
    fp32 = replace(bench, engine=bench.as_precision(Precision.FP32))
    assert proved(fp32, layers=Layers({"FP16": 3})).passed


def test_what_speaks_against_the_layers_refuses_the_engine_once(bench):
    proof = proved(bench, layers=Layers({"FP32": 4}), layers_problem="no half layers; build fp32")
    assert proof.failures == ("no half layers; build fp32",)


def test_layers_that_do_not_tell_their_precision_are_warned_of(bench):
    proof = proved(bench, layers=Layers({"unknown": 4, "FP16": 0}))
    assert proof.passed
    only(proof.warnings, "the engine does not tell in which precision its layers run")


def slower(reference, factor: float):
    """The same reference, as if the source had taken less or more time."""
    facts = reference.run.facts
    latency = replace(facts.inference, p50_ms=facts.inference.p50_ms * factor)
    run = replace(reference.run, facts=replace(facts, inference=latency))
    return replace(reference, run=run)


def test_an_engine_slower_than_its_source_is_warned_of_and_refused_where_a_limit_says_so(bench):
    reference = slower(bench.reference(), 1e-6)
    proof = proved(bench, reference=reference)
    assert proof.passed
    assert "x as fast: the source may serve as well" in only(proof.warnings, "an inference takes")
    proof = proved(bench, reference=reference, limits=replace(own_limits(bench), min_speedup=1.5))
    assert "the limit min_speedup is 1.5" in only(proof.failures, "an inference takes")
    assert proof.warnings == ()


def test_an_engine_faster_than_its_source_is_not_warned_of(bench):
    proof = proved(bench, reference=slower(bench.reference(), 1e6))
    assert proof.warnings == ()
    assert proof.comparison.speedup > 1000


def test_limits_follow_the_engines_precision(bench):
    for precision in Precision:
        engine = bench.as_precision(precision)
        proof = prove(
            bench.model,
            engine,
            bench.reference(),
            bench.frames,
            options=bench.options,
            opener=bench.opener(bench.answers()),
        )
        assert proof.limits == ProofLimits.for_precision(precision)
        assert proof.passed


def test_the_worst_frame_is_drawn_with_both_sets_of_boxes(bench, tmp_path):
    answers = bench.answers()
    answers[4]["heatmap"][:] = 0
    proof = proved(bench, answers, pictures=tmp_path / "made")
    assert proof.comparison.detections.worst.index == 4
    image = cv2.imread(proof.worst_picture)
    assert image.shape == (160 + 24, 2 * 160, 3)
    source, engine = image[24:, :160], image[24:, 160:]
    assert source.max() > 200  # a box on a black picture
    assert engine.max() < 60


def test_a_picture_that_cannot_be_written_refuses_nothing(bench, tmp_path):
    (tmp_path / "file").write_text("no folder")
    proof = proved(bench, pictures=tmp_path / "file")
    assert proof.passed
    assert proof.worst_picture is None
    assert any(str(tmp_path / "file") in warning for warning in proof.warnings)


def test_without_pycocotools_the_rest_is_compared(bench, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name.startswith("pycocotools"):
            raise ImportError("No module named 'pycocotools'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    proof = proved(bench)
    assert proof.passed
    assert proof.comparison.against_source is None
    assert "pip install pycocotools" in only(proof.warnings, "average precision is not compared: ")


@pytest.mark.parametrize("failing", [False, True])
def test_a_proof_comes_back_from_json(bench, failing):
    answers = bench.answers()
    if failing:
        answers[0]["size"][:] = np.nan
    frames = [
        replace(frame, truth=each)
        for frame, each in zip(bench.frames, bench.reference().run.detections)
    ]
    proof = proved(replace(bench, frames=frames), answers, layers=Layers({"FP16": 2}))
    document = json.loads(json.dumps(proof.to_json(), allow_nan=False))
    assert document["passed"] is not failing
    assert Proof.from_json(document) == proof


def test_the_summary_is_one_line_with_what_counts(bench):
    answers = bench.answers()
    for outputs in answers:
        outputs["offset"][..., 0] += 0.1
    proof = proved(bench, answers, limits=replace(own_limits(bench), tensor_rms=9))
    seen = replace(
        proof.comparison,
        engine=replace(
            proof.comparison.engine,
            inference=replace(
                proof.comparison.engine.inference,
                p50_ms=proof.comparison.source.inference.p50_ms / 3.125,
            ),
        ),
    )
    proof = replace(proof, comparison=seen, failures=())
    rest = (
        "6 frames, tensors within 2.0e-01, mAP50 1.000 of the source's, boxes within 0.4 px (p99)"
    )
    assert proof.summary() == f"fp16: {rest}, 3.1 x as fast"
    refused = replace(proof, failures=("one", "two", "three"))
    assert refused.summary() == f"fp16 refused: one (and 2 more); {rest}, 3.1 x as fast"


def test_the_figures_are_those_that_a_list_of_engines_shows(bench):
    proof = proved(bench)
    figures = proof.figures()
    assert figures["inference p50 ms"] == proof.comparison.engine.inference.p50_ms
    assert figures["times as fast as source"] == proof.comparison.speedup
    assert figures["boxes p99 px"] == 0
    assert figures["mAP50 against source"] == pytest.approx(1.0)
    assert "mAP50 against truth" not in figures


def test_truth_is_taken_as_it_is_given(bench):
    empty = [replace(frame, truth=Detections.empty()) for frame in bench.frames]
    assert proved(replace(bench, frames=empty)).comparison.against_truth is None
