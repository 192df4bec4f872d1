# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the metrics of detection."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from confident_clf.metrics import (
    aupr_in,
    aupr_out,
    auroc,
    detection_accuracy,
    expected_calibration_error,
    fpr_at_tpr,
    ood_report,
    tnr_at_tpr,
)

METRICS = [aupr_in, aupr_out, auroc, detection_accuracy, fpr_at_tpr, tnr_at_tpr]


def random_case(seed):
    """Return kinds and scores of a random size, overlap and number of ties."""
    rng = np.random.default_rng(seed)
    y_true = rng.permutation(np.repeat([1, 0], rng.integers(1, 40, size=2)))
    y_score = rng.normal(size=len(y_true)) + rng.normal() * y_true
    return y_true, y_score.round(rng.choice([0, 1, 9]))


def split(y_true, y_score):
    """Return the scores of ID and of OOD samples."""
    return y_score[y_true == 1], y_score[y_true == 0]


@pytest.mark.parametrize("seed", range(100))
def test_areas_against_sklearn(seed):
    """Check that the areas equal scikit-learn's, whatever the ties."""
    y_true, y_score = random_case(seed)
    assert_allclose(auroc(y_true, y_score), roc_auc_score(y_true, y_score))
    expected_in = average_precision_score(y_true, y_score)
    assert_allclose(aupr_in(y_true, y_score), expected_in)
    expected_out = average_precision_score(1 - y_true, -y_score)
    assert_allclose(aupr_out(y_true, y_score), expected_out)


@pytest.mark.parametrize("seed", range(50))
def test_auroc_against_pairs(seed):
    """Check that AUROC counts pairs of ID and OOD samples, ties half, exactly."""
    y_true, y_score = random_case(seed)
    id_scores, ood_scores = split(y_true, y_score)
    sign = np.sign(id_scores[:, None] - ood_scores)  # (n_in, n_out)
    assert auroc(y_true, y_score) == np.sum(1 + sign) / (2 * sign.size)


@pytest.mark.parametrize("tpr", [0.05, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(30))
def test_rates_against_every_threshold(seed, tpr):
    """Check that rates are those of the highest threshold that accepts enough."""
    y_true, y_score = random_case(seed)
    id_scores, ood_scores = split(y_true, y_score)
    threshold = max(t for t in y_score if np.mean(id_scores >= t) >= tpr)
    assert tnr_at_tpr(y_true, y_score, tpr=tpr) == np.mean(ood_scores < threshold)
    assert fpr_at_tpr(y_true, y_score, tpr=tpr) == np.mean(ood_scores >= threshold)
    threshold = min(t for t in y_score if np.mean(ood_scores <= t) >= tpr)
    fpr_out = fpr_at_tpr(y_true, y_score, tpr=tpr, positive="out")
    assert fpr_out == np.mean(id_scores <= threshold)


@pytest.mark.parametrize("seed", range(30))
def test_rates_against_roc_curve(seed):
    """Check that rates are points of scikit-learn's ROC curve."""
    y_true, y_score = random_case(seed)
    fpr, tpr, _ = roc_curve(y_true, y_score, drop_intermediate=False)
    assert_allclose(fpr_at_tpr(y_true, y_score), fpr[tpr >= 0.95].min())
    assert_allclose(detection_accuracy(y_true, y_score), np.max(tpr + 1 - fpr) / 2)
    fpr, tpr, _ = roc_curve(1 - y_true, -y_score, drop_intermediate=False)
    expected = fpr[tpr >= 0.95].min()
    assert_allclose(fpr_at_tpr(y_true, y_score, positive="out"), expected)


@pytest.mark.parametrize("n", [1, 2, 7, 10, 20, 60, 100, 1000])
@pytest.mark.parametrize("percent", [1, 7, 29, 57, 90, 95, 99, 100])
def test_tpr_without_float_noise(n, percent):
    """Check that 7 % of 100 samples are 7, though 0.07 * 100 > 7 in floats."""
    y_true = np.repeat([1, 0], n)
    y_score = np.tile(np.arange(n), 2)
    accepted = -(-percent * n // 100)  # rounded up, in integers
    for tpr in (percent / 100, 1 - (100 - percent) / 100):
        assert tnr_at_tpr(y_true, y_score, tpr=tpr) == (n - accepted) / n


def test_two_meanings_of_fpr():
    """Check that the two conventions of FPR at 95 % TPR give different numbers."""
    # One OOD sample of 20 looks as ID as can be; 5 of 20 ID samples look like the rest.
    y_true = np.repeat([1, 0], 20)
    y_score = np.r_[np.full(15, 2.0), np.zeros(5), 3.0, np.zeros(19)]
    assert fpr_at_tpr(y_true, y_score) == 1.0
    assert fpr_at_tpr(y_true, y_score, positive="out") == 0.25


def test_separable():
    """Check that a perfect detector gets the best of every metric, a reversed one not.

    The closed form of the worst average precision of 2 positives in 4 is 5 / 12.
    """
    perfect = ood_report([3, 4], [1, 2])
    for name in ("auroc", "aupr_in", "aupr_out", "tnr_at_tpr", "detection_accuracy"):
        assert perfect[name] == 1.0
    assert perfect["fpr_at_tpr"] == perfect["fpr_at_tpr_out"] == 0.0
    reverse = ood_report([1, 2], [3, 4])
    assert reverse["auroc"] == reverse["tnr_at_tpr"] == 0.0
    assert reverse["fpr_at_tpr"] == reverse["fpr_at_tpr_out"] == 1.0
    assert reverse["detection_accuracy"] == 0.5
    assert_allclose([reverse["aupr_in"], reverse["aupr_out"]], 5 / 12)


def test_constant_score():
    """Check that a score without information gets what chance gives."""
    report = ood_report([0.5] * 3, [0.5])
    assert report["auroc"] == report["detection_accuracy"] == 0.5
    assert (report["aupr_in"], report["aupr_out"]) == (0.75, 0.25)
    assert report["fpr_at_tpr"] == report["fpr_at_tpr_out"] == 1.0


def test_saturated_softmax_is_exact():
    """Check that ties at a probability of 1 do not lower AUROC, as a grid would.

    With 93 % of ID and 80 % of OOD samples tied at 1 and the others at 0, AUROC is
    0.93 * 0.2 + (0.93 * 0.8 + 0.07 * 0.2) / 2.
    """
    y_true = np.repeat([1, 0], 100)
    y_score = np.r_[np.ones(93), np.zeros(7), np.ones(80), np.zeros(20)]
    assert_allclose(auroc(y_true, y_score), 0.565)


@pytest.mark.parametrize("seed", range(20))
def test_report_equals_single_metrics(seed):
    """Check that the report holds what the functions return."""
    y_true, y_score = random_case(seed)
    y_score = 1 / (1 + np.exp(-y_score))
    report = ood_report(*split(y_true, y_score), tpr=0.8)
    expected = {
        "auroc": auroc(y_true, y_score),
        "aupr_in": aupr_in(y_true, y_score),
        "aupr_out": aupr_out(y_true, y_score),
        "tnr_at_tpr": tnr_at_tpr(y_true, y_score, tpr=0.8),
        "fpr_at_tpr": fpr_at_tpr(y_true, y_score, tpr=0.8),
        "fpr_at_tpr_out": fpr_at_tpr(y_true, y_score, tpr=0.8, positive="out"),
        "detection_accuracy": detection_accuracy(y_true, y_score),
        "expected_calibration_error": expected_calibration_error(y_true, y_score),
        "n_in": np.sum(y_true == 1),
        "n_out": np.sum(y_true == 0),
    }
    assert report == pytest.approx(expected, rel=1e-12)
    assert {type(report.pop(n)) for n in ("n_in", "n_out")} == {int}
    assert {type(value) for value in report.values()} == {float}


@pytest.mark.parametrize("score", [-0.1, 1.1])
@pytest.mark.parametrize("kind", [0, 1])
def test_report_without_probabilities(kind, score):
    """Check that the calibration error is nan if a confidence is not a probability."""
    confidences = [[0.5, 0.6], [0.2, 0.4]]
    confidences[kind][1] = score
    assert np.isnan(ood_report(*confidences)["expected_calibration_error"])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_only_order_matters(metric, seed):
    """Check that a monotone map of the scores and a shuffle change nothing."""
    y_true, y_score = random_case(seed)
    shuffle = np.random.default_rng(seed).permutation(len(y_true))
    mapped = np.exp(3 * y_score - 40)
    expected = metric(y_true, y_score)
    assert_allclose(metric(y_true[shuffle], mapped[shuffle]), expected, rtol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_inputs(metric):
    """Check that lists, bools and other dtypes are taken, and inputs not changed."""
    y_true, y_score = np.array([1, 0, 1, 0, 1]), np.array([3, 1, 1, 2, 0])
    y_true.flags.writeable = y_score.flags.writeable = False
    expected = metric(y_true, y_score)
    assert type(expected) is float
    assert metric(y_true == 1, y_score.astype(np.float32)) == expected
    assert metric(y_true.astype(float).tolist(), y_score.tolist()) == expected
    assert metric(y_true.astype(object), y_score.astype(np.float16)) == expected


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "y_true, y_score, message",
    [
        ([1, -1], [0.1, 0.2], r"y_true\[1\] is .*-1.* Pass y_true == 1"),
        ([1, 2], [0.1, 0.2], r"y_true must be 1 .* or 0 .*y_true\[1\] is .*2"),
        (["a", "b"], [0.1, 0.2], r"y_true\[0\] is .*'a'"),
        ([1, np.nan], [0.1, 0.2], r"y_true\[1\] is .*nan"),
        ([1, None], [0.1, 0.2], r"y_true\[1\] is None"),
        ([1, 1], [0.1, 0.2], "y_true must hold both 1 .*all 2 values are 1"),
        ([0], [0.1], "y_true must hold both 1 .*all 1 values are 0. Add samples"),
        (
            [1, 0],
            [0.1, np.nan],
            r"finite; y_score\[1\] is nan, one of 1",
        ),
        ([1, 0], [np.inf, 0.0], r"y_score\[0\] is inf.*Replace or drop"),
        ([1, 0, 1], [0.1, 0.2], r"one value per score, shape \(2,\); got shape \(3,\)"),
        ([[1], [0]], [0.1, 0.2], r"one value per score, .*got shape \(2, 1\)"),
        ([], [], r"y_score must be a vector with at least one score; got shape \(0,\)"),
        ([1, 0], [[0.1], [0.2]], r"y_score must be a vector .*got shape \(2, 1\)"),
    ],
)
def test_bad_inputs(metric, y_true, y_score, message):
    """Check that bad input is refused by naming the argument, the value, the remedy."""
    with pytest.raises(ValueError, match=message):
        metric(y_true, y_score)


@pytest.mark.parametrize("name", ["confidence_in", "confidence_out"])
@pytest.mark.parametrize("bad", [[], [np.nan], [[0.5]]])
def test_bad_confidences(name, bad):
    """Check that the report refuses bad confidences by the name of the argument."""
    confidences = {"confidence_in": [0.5], "confidence_out": [0.5], name: bad}
    with pytest.raises(ValueError, match=f"{name} must be"):
        ood_report(**confidences)


@pytest.mark.parametrize("tpr", [0, -0.1, 1.01, 95, np.nan])
@pytest.mark.parametrize("metric", [fpr_at_tpr, tnr_at_tpr])
def test_bad_tpr(metric, tpr):
    """Check that a rate out of range is refused."""
    with pytest.raises(ValueError, match="tpr must be above 0 and at most 1; got"):
        metric([1, 0], [0.5, 0.1], tpr=tpr)
    with pytest.raises(ValueError, match="tpr must be above 0 and at most 1; got"):
        ood_report([0.5], [0.1], tpr=tpr)


def test_bad_positive():
    """Check that an unknown kind is refused by naming both."""
    with pytest.raises(ValueError, match=r"positive='ood' .* 'in' .* 'out'"):
        fpr_at_tpr([1, 0], [0.5, 0.1], positive="ood")
