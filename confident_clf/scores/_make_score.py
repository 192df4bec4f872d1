# SPDX-License-Identifier: BSD-3-Clause
"""Make the score that the parameter `method` names."""

from functools import partial

from confident_clf.scores._features import KNN
from confident_clf.scores._gaussian import RMD, Mahalanobis
from confident_clf.scores._gen import GEN
from confident_clf.scores._last_layer import ReAct, ViM
from confident_clf.scores._logits import LOGIT_SCORES
from confident_clf.scores._odin import ODIN
from confident_clf.scores._score import NamedScore, OODScore

SCORES = {name: partial(NamedScore, name) for name in LOGIT_SCORES} | {
    "gen": GEN,
    "knn": KNN,
    "mahalanobis": Mahalanobis,
    "odin": ODIN,
    "react": ReAct,
    "rmd": RMD,
    "vim": ViM,
}


def make_score(method: str | OODScore) -> OODScore:
    """Return the score for a method; a name gives one with default parameters.

    Raise ValueError if there is no such score, or a parameter of it is out of range.
    """
    if isinstance(method, str) and method in SCORES:
        return SCORES[method]()
    if not isinstance(method, OODScore):
        raise ValueError(
            f"method={method!r} is not a score. Choose one of "
            f"{', '.join(map(repr, sorted(SCORES)))}, or a score object such as ODIN()."
        )
    if hasattr(method, "_parameter_constraints"):
        method._validate_params()
    return method


def same_score(one: OODScore, other: OODScore) -> bool:
    """Return whether two scores have the same class and the same parameters.

    If so, a fitted one can replace the other.
    """
    return type(one) is type(other) and one.get_params() == other.get_params()
