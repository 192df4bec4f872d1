# SPDX-License-Identifier: BSD-3-Clause
"""Displays, as scikit-learn's; matplotlib is imported when one of them draws."""

from confident_clf.plotting._roc_display import RocDisplay
from confident_clf.plotting._score_display import ScoreDisplay

__all__ = ["RocDisplay", "ScoreDisplay"]
