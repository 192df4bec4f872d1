# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the report against the metrics one by one."""

import numpy as np
import pytest

from confident_clf import metrics

rng = np.random.default_rng(0)
CASES = {
    "apart": (rng.uniform(0.5, 1, 1000), rng.uniform(0, 0.6, 300)),
    "ties": (rng.integers(0, 31, 500) / 30, rng.integers(0, 31, 700) / 30),
    "on the edges of bins": (np.arange(16) / 15, np.repeat(np.arange(16) / 15, 3)),
    "all equal": (np.ones(5), np.ones(3)),
    "zeros": (np.zeros(4), np.array([0.0, 1.0])),
    "one of each": (np.array([0.3]), np.array([0.4])),
}


@pytest.mark.parametrize("case", CASES)
def test_report_is_all_metrics(case):
    """Check every figure against the function of its name."""
    known, unknown = CASES[case]
    y_true = np.repeat([1, 0], [len(known), len(unknown)])
    y_score = np.concatenate([known, unknown])
    report = metrics.ood_report(known, unknown, tpr=0.9)
    expected = {
        "auroc": metrics.auroc(y_true, y_score),
        "aupr_in": metrics.aupr_in(y_true, y_score),
        "aupr_out": metrics.aupr_out(y_true, y_score),
        "tnr_at_tpr": metrics.tnr_at_tpr(y_true, y_score, tpr=0.9),
        "fpr_at_tpr": metrics.fpr_at_tpr(y_true, y_score, tpr=0.9),
        "fpr_at_tpr_out": metrics.fpr_at_tpr(y_true, y_score, tpr=0.9, positive="out"),
        "detection_accuracy": metrics.detection_accuracy(y_true, y_score),
        "expected_calibration_error": metrics.expected_calibration_error(
            y_true, y_score
        ),
        "n_in": len(known),
        "n_out": len(unknown),
    }
    assert report == pytest.approx(expected, rel=1e-12, abs=1e-12)
