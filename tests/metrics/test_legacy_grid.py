# SPDX-License-Identifier: BSD-3-Clause
"""Test the metrics of the reference code, which are taken on a grid of thresholds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from confident_clf.metrics import legacy_grid, ood_report


def by_definition(known, unknown, n):
    """Return the metrics by going through the thresholds one by one."""
    low, high = min(*known, *unknown), max(*known, *unknown)
    step = (high - low) / n
    false_positives, area, last_fpr, error = [], 0.0, 1.0, 1.0
    area_in, last_recall, last_term = 0.0, 1.0, 0.0
    for threshold in np.arange(low, high, step):
        tpr = np.mean([c >= threshold for c in known])
        fpr = np.mean([c > threshold for c in unknown])
        if 0.94 <= tpr <= 0.96:
            false_positives.append(fpr)
        area += (last_fpr - fpr) * tpr
        last_fpr = fpr
        error = min(error, (1 - tpr + fpr) / 2)
        accepted = tpr + np.mean([c >= threshold for c in unknown])
        if accepted > 0:
            area_in += (last_recall - tpr) * tpr / accepted
            last_recall, last_term = tpr, tpr * tpr / accepted
    area_out, out_recall, out_term = 0.0, 1.0, 0.0
    for threshold in np.arange(high, low, -step):
        rejected = np.mean([c < threshold for c in unknown])
        both = rejected + np.mean([c < threshold for c in known])
        if both == 0:
            break
        area_out += (out_recall - rejected) * rejected / both
        out_recall, out_term = rejected, rejected * rejected / both
    return {
        "tnr_at_tpr": 1 - np.mean(false_positives) if false_positives else 0.0,
        "auroc": area,
        "detection_accuracy": 1 - error,
        "aupr_in": area_in + last_term,
        "aupr_out": area_out + out_term,
    }


@pytest.mark.parametrize("seed", range(40))
def test_against_the_definition(seed):
    """Check all five metrics on random scores, with ties and saturated ones."""
    rng = np.random.default_rng(seed)
    n_in, n_out = rng.integers(2, 60, size=2)
    known, unknown = rng.normal(1, 1, n_in), rng.normal(0, 1, n_out)
    known, unknown = (
        np.minimum(scores, rng.normal(1, 1)).round(rng.choice([1, 9]))
        for scores in (known, unknown)
    )
    n = int(rng.integers(1, 80))
    expected = by_definition(known, unknown, n)
    report = legacy_grid(known, unknown, n_thresholds=n)
    assert list(report) == list(expected)
    for name, value in expected.items():
        assert report[name] == pytest.approx(value, abs=1e-12), name


def test_saturated_scores_lose_area():
    """Check the AUROC of shares a and b at 1, the rest uniform, by its closed form.

    An unknown sample at 1 never enters the grid. Exactly, it counts half against the
    known ones at 1.
    """
    a, b, n = 0.8, 0.6, 20_000
    known = np.r_[np.ones(int(a * n)), np.linspace(0.1, 0.99, int((1 - a) * n))]
    unknown = np.r_[np.ones(int(b * n)), np.linspace(0.1, 0.99, int((1 - b) * n))]
    below = (1 - b) * (a + (1 - a) / 2)
    assert_allclose(legacy_grid(known, unknown)["auroc"], below, atol=1e-3)
    assert_allclose(ood_report(known, unknown)["auroc"], below + a * b / 2, atol=1e-3)


def test_the_grid_does_not_matter_for_spread_scores():
    """Check that without saturation all metrics but TNR are the exact ones."""
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(1.5, 1, 3000), rng.normal(0, 1, 2000)
    exact, grid = ood_report(known, unknown), legacy_grid(known, unknown)
    for name in ("auroc", "detection_accuracy"):
        assert_allclose(grid[name], exact[name], atol=1e-3)
    # It is the mean over rates from .94 to .96, and AUPR of equal shares.
    assert_allclose(grid["tnr_at_tpr"], exact["tnr_at_tpr"], atol=0.01)


def test_no_threshold_in_the_window_counts_as_zero():
    """Check two known samples: no rate is near 95 %, so the TNR is 0."""
    assert legacy_grid([1.0, 2.0], [0.0])["tnr_at_tpr"] == 0.0
    assert ood_report([1.0, 2.0], [0.0])["tnr_at_tpr"] == 1.0


def test_float32_and_a_shift_change_nothing():
    """Check a probability, its float32, and minus the score "msp"."""
    rng = np.random.default_rng(0)
    known, unknown = rng.random(300).astype(np.float32), rng.random(200)
    grid = legacy_grid(known, unknown, n_thresholds=1000)
    shifted = legacy_grid(known.astype(float) - 1, unknown - 1, n_thresholds=1000)
    for name, value in grid.items():
        assert shifted[name] == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize(
    ("known", "unknown", "n", "message"),
    [
        ([], [1.0], 10, "confidence_in"),
        ([1.0], [np.nan], 10, r"confidence_out\[0\] is nan"),
        ([0.5, 0.5], [0.5], 10, "All confidences are 0.5, so a grid"),
        ([1.0], [0.5], 0, "n_thresholds must be an integer of at least 1; got 0"),
        ([1.0], [0.5], 2.5, "n_thresholds must be an integer of at least 1; got 2.5"),
        ([1e-320], [0.0], 100_000, "too close"),
    ],
)
def test_bad_input(known, unknown, n, message):
    """Check the errors."""
    with pytest.raises(ValueError, match=message):
        legacy_grid(known, unknown, n_thresholds=n)
