# SPDX-License-Identifier: BSD-3-Clause
"""Displays, as scikit-learn's; matplotlib is imported when one of them draws."""

from confident_clf.plotting._confidence_map_display import ConfidenceMapDisplay
from confident_clf.plotting._decisions_display import DecisionsDisplay
from confident_clf.plotting._det_display import DetDisplay
from confident_clf.plotting._history_display import HistoryDisplay
from confident_clf.plotting._p_value_display import PValueDisplay
from confident_clf.plotting._reliability_display import ReliabilityDisplay
from confident_clf.plotting._risk_coverage_display import RiskCoverageDisplay
from confident_clf.plotting._roc_display import RocDisplay
from confident_clf.plotting._samples_display import SamplesDisplay
from confident_clf.plotting._score_display import ScoreDisplay

__all__ = [
    "ConfidenceMapDisplay",
    "DecisionsDisplay",
    "DetDisplay",
    "HistoryDisplay",
    "PValueDisplay",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "RocDisplay",
    "SamplesDisplay",
    "ScoreDisplay",
]
