# SPDX-License-Identifier: BSD-3-Clause
"""Make the score that the parameter `method` means."""

from confident_clf.scores._auto import AutoScore
from confident_clf.scores._fused import Fused
from confident_clf.scores._named import NAMED, make_single
from confident_clf.scores._score import OODScore

SCORES = {"auto": AutoScore, **NAMED}

# What `method` may be where None means that of the estimator.
Method = str | OODScore | list | None


def make_score(method: Method) -> OODScore:
    """Return the score for a method; a name gives one with default parameters.

    A list is fused. Raise ValueError if there is no such score, or a parameter of it is
    out of range.
    """
    if isinstance(method, list):
        method = Fused(method)
    if isinstance(method, Fused):
        try:
            method.made()
        except ValueError as error:
            raise ValueError(f"method={method!r} cannot be used: {error}") from error
        return method
    if isinstance(method, str) and method in SCORES:
        return SCORES[method]()
    if not isinstance(method, OODScore):
        raise ValueError(
            f"method={method!r} is not a score. Choose one of "
            f"{', '.join(map(repr, sorted(SCORES)))}, a score object such as ODIN(), "
            "or a list of these."
        )
    return make_single(method)


def fitted_score(method, fitted: OODScore | None) -> OODScore:
    """Return the score that `method` means; `fitted` if it learns from samples.

    Raises ValueError if `fitted` is another score, or None.
    """
    score = make_score(method)
    if not score.needs_fit:
        return score
    if fitted is not None and same_score(score, fitted):
        return fitted
    other = (
        "was not given any" if fitted is None else f"was fitted with method={fitted!r}"
    )
    raise ValueError(
        f"method={method!r} is fitted on the training samples, and this classifier "
        f"{other}. Call set_params(method={method!r}).fit_method(X, y), or set it "
        "before fit."
    )


def same_score(one, other) -> bool:
    """Return whether two scores have the same class and the same parameters.

    If so, a fitted one can replace the other. Parameters may hold scores themselves.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_score, one, other))
    if hasattr(one, "get_params"):
        ours, theirs = one.get_params(deep=False), other.get_params(deep=False)
        return ours.keys() == theirs.keys() and all(
            same_score(value, theirs[name]) for name, value in ours.items()
        )
    return one is other or bool(one == other)
