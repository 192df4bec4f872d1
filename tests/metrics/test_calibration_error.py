# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the calibration error."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binned_statistic

from confident_clf.metrics import expected_calibration_error


def binned_error(right, confidence, n_bins):
    """Return the error by its formula, from the means of SciPy's bins."""
    # SciPy's bins are closed on the left; mirrored they are closed on the right.
    values = [right, confidence, np.ones_like(confidence)]
    means, _, _ = binned_statistic(1 - confidence, values[:2], "mean", n_bins, (0, 1))
    n, _, _ = binned_statistic(1 - confidence, values[2], "sum", n_bins, (0, 1))
    return np.nansum(n / n.sum() * np.abs(means[0] - means[1]))


@pytest.mark.parametrize("n_bins", [1, 2, 15, 100])
@pytest.mark.parametrize("seed", range(10))
def test_against_scipy(seed, n_bins):
    """Check that the error is the weighted gap of the means in each bin."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(3, 1, size=200)
    right = rng.random(200) < confidence**2
    error = expected_calibration_error(right, confidence, n_bins=n_bins)
    assert_allclose(error, binned_error(right, confidence, n_bins))


def test_borders_of_bins():
    """Check that a border belongs to the bin below it, and 0 to the first bin."""
    # Bins (0, 0.5] and (0.5, 1]: gaps |1 - 0.5| and |0 - 1|, over 2 samples.
    assert expected_calibration_error([1, 0], [0.5, 1.0], n_bins=2) == 0.75
    # Bin [0, 0.5] has a gap of |1 - 0.25|, over 2 samples.
    assert expected_calibration_error([1, 0], [0.0, 0.25], n_bins=2) == 0.375


def test_one_kind():
    """Check that being always right is allowed, and is underconfidence."""
    assert_allclose(expected_calibration_error([1, 1], [0.9, 0.9]), 0.1)


def test_calibrated():
    """Check that the error of calibrated confidences vanishes with the samples."""
    rng = np.random.default_rng(0)
    confidence = rng.random(100_000)
    right = rng.random(100_000) < confidence
    assert expected_calibration_error(right, confidence) < 0.01


@pytest.mark.parametrize("labels", [None, ["a", "b", "c"], [7, -1, 3]])
def test_top_label(labels):
    """Check that 2-D scores count by their largest probability and its label."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], size=50)
    columns = rng.integers(3, size=50)
    y_true = columns if labels is None else np.array(labels)[columns]
    error = expected_calibration_error(y_true, probabilities, labels=labels)
    right = probabilities.argmax(axis=1) == columns
    expected = expected_calibration_error(right, probabilities.max(axis=1))
    assert error == expected


@pytest.mark.parametrize(
    "y_true, y_score, kwargs, message",
    [
        ([1, 0], [0.5, 1.5], {}, r"y_score must be in \[0, 1\]; got values from 0.5"),
        ([1, 0], [-0.5, 0.5], {}, r"y_score must be in \[0, 1\].*predict_proba"),
        ([1, 2], [0.5, 0.5], {}, r"y_true\[1\] is"),
        ([1, 0], [0.5, np.nan], {}, r"y_score\[1\] is nan"),
        ([1], [0.5, 0.5], {}, r"shape \(2,\); got shape \(1,\)"),
        ([], [], {}, "at least one score"),
        ([1], [0.5], {"n_bins": 0}, "n_bins must be .*at least 1; got 0"),
        ([1], [0.5], {"n_bins": 1.5}, "n_bins must be an integer .*got 1.5"),
        ([1], [0.5], {"labels": [0, 1]}, r"labels=\[0, 1\] .*Leave labels=None"),
        ([0], [[0.5, 0.5]], {"labels": [0]}, r"labels must name the 2 columns"),
        ([2], [[0.5, 0.5]], {}, r"y_true holds .*2.* not a column .*\[0, 1\]"),
        (["c"], [[0.5, 0.5]], {"labels": ["a", "b"]}, r"y_true holds .*'c'"),
        ([0], [[0.0, 3.0]], {}, r"y_score must be in \[0, 1\]"),
    ],
)
def test_bad_inputs(y_true, y_score, kwargs, message):
    """Check that bad input is refused by naming the argument, the value, the remedy."""
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(y_true, y_score, **kwargs)


def test_inputs_unchanged():
    """Check that inputs are not changed."""
    y_true, y_score = np.array([1, 0]), np.array([0.2, 0.0])
    y_true.flags.writeable = y_score.flags.writeable = False
    assert type(expected_calibration_error(y_true, y_score)) is float


def test_bins_hold_their_ends():
    """Check confidences that are b / B, where b / B * B rounds to more than b."""
    for n_bins in (10, 15, 49, 100):
        ends = np.arange(1, n_bins + 1) / n_bins
        # Right where b is even: alone in its bin, each is as far from 0 or 1 as it is.
        right = np.arange(1, n_bins + 1) % 2 == 0
        expected = np.abs(right - ends).mean()
        value = expected_calibration_error(right, ends, n_bins=n_bins)
        assert value == pytest.approx(expected, rel=1e-12)
