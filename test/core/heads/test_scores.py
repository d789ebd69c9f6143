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
