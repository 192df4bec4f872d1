# SPDX-License-Identifier: BSD-3-Clause
"""The scores that have a name, and the score that an element of a list means."""

from functools import partial

from confident_clf.scores._features import KNN
from confident_clf.scores._gaussian import RMD, Mahalanobis
from confident_clf.scores._gen import GEN
from confident_clf.scores._inputs import InputScore, is_detector
from confident_clf.scores._last_layer import ReAct, ViM
from confident_clf.scores._logits import LOGIT_SCORES
from confident_clf.scores._odin import ODIN
from confident_clf.scores._score import NamedScore, OODScore

NAMED = {name: partial(NamedScore, name) for name in LOGIT_SCORES} | {
    "gen": GEN,
    "knn": KNN,
    "mahalanobis": Mahalanobis,
    "odin": ODIN,
    "react": ReAct,
    "rmd": RMD,
    "vim": ViM,
}


def make_single(score) -> OODScore:
    """Return the score for a name, a score object or an outlier detector.

    Raise ValueError if there is no such score, or a parameter of it is out of range.
    """
    if isinstance(score, str) and score in NAMED:
        return NAMED[score]()
    if isinstance(score, OODScore):
        if hasattr(score, "_parameter_constraints"):
            score._validate_params()
        return score
    if is_detector(score):
        return InputScore(score)
    raise ValueError(
        f"{score!r} is not a score. Choose one of {', '.join(map(repr, sorted(NAMED)))}"
        ", a score object such as ODIN(), or, in a list, an outlier detector of "
        "scikit-learn."
    )
