"""Whether what is found without computing all scores is what computing them all would find."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from jetson_detect.core.heads.scores import Activation, Background, find_survivors, sigmoid
from jetson_detect.core.selection import Selection

logits = nps.arrays(
    np.float32,
    st.tuples(st.integers(0, 12), st.integers(2, 6)),
    elements=st.floats(-12, 12, width=32),
)
BY_TENSORFLOW = {
    Activation.SIGMOID: tf.math.sigmoid,
    Activation.SOFTMAX: tf.nn.softmax,
    Activation.NONE: tf.identity,
}


@settings(deadline=None)
@given(
    logits,
    st.sampled_from(Activation),
    st.sampled_from(Background),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.none() | st.frozensets(st.integers(-1, 7)),
)
def test_survivors_are_those_whose_best_wanted_score_reaches_the_threshold(
    raw, activation, background, threshold, wanted
):
    scores = BY_TENSORFLOW[activation](raw).numpy()
    if background is Background.FIRST:
        scores = scores[:, 1:]
    elif background is Background.LAST:
        scores = scores[:, :-1]
    if wanted is not None:
        unwanted = [index for index in range(scores.shape[1]) if index not in wanted]
        scores[:, unwanted] = 0
    best = scores.max(axis=1)
    # What lies within rounding of the threshold may go either way.
    certain = np.abs(best - threshold) > 1e-5
    expected = set(np.flatnonzero((best >= threshold) & (best > 0) & certain))
    found = find_survivors(
        raw, Selection(score_threshold=threshold, class_ids=wanted), activation, background
    )
    assert {index for index in found.where[0] if certain[index]} == expected
    np.testing.assert_allclose(found.scores[:, 0], best[found.where[0]], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        scores[found.where[0], found.class_ids[:, 0]], found.scores[:, 0], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("activation", [Activation.SIGMOID, Activation.SOFTMAX])
def test_a_score_at_the_threshold_counts_and_one_just_below_does_not(activation):
    raw = np.array([[0.0, 0.0], [0.0, 1e-3], [0.0, -1e-3]], np.float32)
    found = find_survivors(raw, Selection(score_threshold=0.5), activation, Background.FIRST)
    assert found.where[0].tolist() == [0, 1]


def test_places_are_told_for_each_axis():
    raw = np.zeros((2, 3, 4, 5), np.float32)
    raw[1, 2, 3, 4] = 0.9
    found = find_survivors(raw, Selection(score_threshold=0.5))
    assert [index.tolist() for index in found.where] == [[1], [2], [3]]
    assert found.class_ids.tolist() == [[4]]


def test_no_wanted_class_has_places_for_each_axis_too():
    raw = np.ones((2, 3, 4, 5), np.float32)
    found = find_survivors(raw, Selection(class_ids=frozenset({7})))
    assert [len(index) for index in found.where] == [0, 0, 0]
    assert raw[found.where].shape == (0, 5)


@pytest.mark.parametrize("logit", [-1000.0, -20.0, 0.0, 3.0, 1000.0])
def test_the_sigmoid_of_any_number_is_finite_and_right(logit):
    expected = tf.math.sigmoid(np.float32(logit)).numpy()
    assert sigmoid(np.array([logit], np.float32))[0] == pytest.approx(expected, abs=1e-7)


HALVES = [-3.0, -0.5, -0.0, 0.0, 0.09991455078125, 0.0999755859375, 0.5, 0.50048828125, 1.0]


def lie(scores, order):
    """The same numbers in another order of memory, all of them among others."""
    count, classes = scores.shape
    if order == "rows":
        return scores
    if order == "rows among others":
        table = np.ones((count, classes + 7), scores.dtype)
        table[:, 4:-3] = scores
        return table[:, 4:-3]
    if order == "columns":
        return np.ascontiguousarray(scores.T).T
    every_second = np.ones((count, 2 * classes), scores.dtype)
    every_second[:, ::2] = scores
    return every_second[:, ::2]


@settings(deadline=None)
@given(
    nps.arrays(
        np.float16,
        st.tuples(st.integers(1, 40), st.integers(1, 6)),
        elements=st.sampled_from(HALVES),
    ),
    st.sampled_from(["rows", "rows among others", "columns", "every second"]),
    st.sampled_from([np.float16, np.float32]),
    st.sampled_from([Activation.NONE, Activation.SIGMOID]),
    st.sampled_from([0.0, 0.1, 0.3775406688, 0.5, 0.6224593312]),
)
def test_the_order_in_memory_and_the_precision_change_nothing(
    scores, order, kind, activation, threshold
):
    selection = Selection(score_threshold=threshold)
    raw = lie(scores.astype(kind), order)
    computed = scores.astype(np.float32)
    computed = sigmoid(computed) if activation is Activation.SIGMOID else computed
    best = computed.max(axis=1)
    expected = np.flatnonzero((best >= np.float32(threshold)) & (best > 0))
    found = find_survivors(raw, selection, activation)
    assert found.where[0].tolist() == expected.tolist()
    np.testing.assert_array_equal(found.scores[:, 0], best[expected])
    np.testing.assert_array_equal(found.class_ids[:, 0], computed[expected].argmax(axis=1))


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 0, 2, 3), (3, 0, 1, 2), (2, 0, 3, 1)])
def test_places_are_the_same_in_maps_of_any_order_in_memory(axes):
    raw = np.random.default_rng(1).uniform(0, 0.51, (3, 4, 5, 6)).astype(np.float32)
    there = np.ascontiguousarray(raw.transpose(axes)).transpose(np.argsort(axes))
    found = find_survivors(there, Selection(score_threshold=0.5))
    expected = np.nonzero((raw >= np.float32(0.5)).any(axis=3))
    assert 0 < len(expected[0]) < 60
    np.testing.assert_array_equal(found.where, expected)


def test_half_precision_logits_beside_a_background_are_not_rounded_away():
    # Near 9 halves are 1/128 apart: the logit of the threshold, 8.997, would become 9.
    raw = np.array([[-9.0, -0.001]], np.float16)
    score = 1 / (1 + np.exp(np.diff(-raw.astype(np.float64))[0, 0]))
    found = find_survivors(
        raw, Selection(score_threshold=score - 2e-7), Activation.SOFTMAX, Background.FIRST
    )
    assert found.where[0].tolist() == [0]


def test_one_output_that_is_the_background_leaves_no_class():
    found = find_survivors(
        np.ones((4, 1), np.float32), Selection(), Activation.SIGMOID, Background.FIRST
    )
    assert len(found.where[0]) == 0
