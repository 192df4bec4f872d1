# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of out-of-distribution detection and calibration, and scorers."""

from confident_clf.metrics._calibration_error import expected_calibration_error
from confident_clf.metrics._detection_metrics import (
    aupr_in,
    aupr_out,
    auroc,
    detection_accuracy,
    fpr_at_tpr,
    tnr_at_tpr,
)
from confident_clf.metrics._legacy_grid import legacy_grid
from confident_clf.metrics._open_set_metrics import accepted_accuracy, aurc, oscr
from confident_clf.metrics._report import ood_report
from confident_clf.metrics._scorer import (
    auroc_scorer,
    id_accuracy_scorer,
    make_ood_scorer,
    tnr_scorer,
)

__all__ = [
    "accepted_accuracy",
    "aupr_in",
    "aupr_out",
    "aurc",
    "auroc",
    "auroc_scorer",
    "detection_accuracy",
    "expected_calibration_error",
    "fpr_at_tpr",
    "id_accuracy_scorer",
    "legacy_grid",
    "make_ood_scorer",
    "ood_report",
    "oscr",
    "tnr_at_tpr",
    "tnr_scorer",
]
