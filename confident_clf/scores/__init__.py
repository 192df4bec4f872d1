# SPDX-License-Identifier: BSD-3-Clause
"""Out-of-distribution scores: pure functions, higher means more out-of-distribution."""

from confident_clf.scores._logits import (
    LOGIT_SCORES,
    energy,
    entropy,
    margin,
    max_logit,
    msp,
    msp_with_reject,
    score_logits,
)

__all__ = [
    "LOGIT_SCORES",
    "energy",
    "entropy",
    "margin",
    "max_logit",
    "msp",
    "msp_with_reject",
    "score_logits",
]
