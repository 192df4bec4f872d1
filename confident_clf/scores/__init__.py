# SPDX-License-Identifier: BSD-3-Clause
"""Out-of-distribution scores: higher means more out-of-distribution.

Each score is a pure function. Scores that have parameters, or something to learn, are
also score objects.
"""

from confident_clf.scores._auto import AutoScore
from confident_clf.scores._ensemble import mutual_information
from confident_clf.scores._features import KNN, knn
from confident_clf.scores._fused import Fused, rarity
from confident_clf.scores._gaussian import RMD, Mahalanobis, mahalanobis, rmd
from confident_clf.scores._gen import GEN
from confident_clf.scores._inputs import InputScore
from confident_clf.scores._last_layer import ReAct, ViM, react, vim
from confident_clf.scores._logits import (
    LOGIT_SCORES,
    energy,
    entropy,
    gen,
    margin,
    max_logit,
    msp,
    msp_with_reject,
    score_logits,
)
from confident_clf.scores._odin import ODIN, odin
from confident_clf.scores._score import LogitScore, OODScore

__all__ = [
    "GEN",
    "KNN",
    "LOGIT_SCORES",
    "ODIN",
    "RMD",
    "AutoScore",
    "Fused",
    "InputScore",
    "LogitScore",
    "Mahalanobis",
    "OODScore",
    "ReAct",
    "ViM",
    "energy",
    "entropy",
    "gen",
    "knn",
    "mahalanobis",
    "margin",
    "max_logit",
    "msp",
    "msp_with_reject",
    "mutual_information",
    "odin",
    "rarity",
    "react",
    "rmd",
    "score_logits",
    "vim",
]
