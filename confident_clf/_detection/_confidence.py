# SPDX-License-Identifier: BSD-3-Clause
"""One confidence for every estimator: higher means in-distribution."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from confident_clf.scores import LOGIT_SCORES, LogitScore, OODScore, score_logits
from confident_clf.scores._make_score import SCORES, Method, make_score
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._sklearn import BaseSearchCV
from confident_clf.utils._types import SamplesLike

# These need the size of the logits, which probabilities do not keep.
_SCORES_OF_DECISIONS = {"energy", "max_logit"}


def id_confidence(
    estimator: BaseEstimator, X: SamplesLike, method: Method = None
) -> np.ndarray:
    """Return how in-distribution a fitted estimator takes each sample to be, float64.

    Without a method, this is the first of these that the estimator has: ``ood_score``
    (negated), ``score_samples``, for classifiers ``predict_proba`` (minus the ``msp``
    score) or ``decision_function`` (the largest value; for binary ones its distance
    from 0), for outlier detectors of scikit-learn ``decision_function``. A method is
    passed on to ``ood_score``. For classifiers without one, a score of logits is
    computed from ``predict_proba`` or ``decision_function``.

    The last step of a pipeline, search or frozen estimator scores, because the wrapper
    may not pass these methods on. Raise TypeError if the estimator lacks what the score
    needs, ValueError if there is no such method or a confidence is NaN.
    """
    estimator, X = unwrap(estimator, X)
    confidence = to_numpy(_response(estimator, method)(X), np.float64)
    if np.isnan(confidence).any():
        raise ValueError(
            f"{type(estimator).__name__} gives {np.isnan(confidence).sum()} of "
            f"{len(confidence)} samples a confidence of NaN (method={method!r}). Look "
            "for values it cannot handle in X, or for a fit that diverged."
        )
    return confidence


def check_method(estimator: BaseEstimator, method: Method) -> None:
    """Raise the error of `id_confidence` for a method before anything is fitted."""
    _response(unwrap(estimator)[0], method)


def to_be_fitted(estimator: BaseEstimator, method: Method) -> BaseEstimator:
    """Return a clone to fit, which also fits the score if that has something to learn.

    Such a score becomes the parameter `method` of the classifier inside. The classifier
    then fits it on exactly the samples that it is trained on.
    """
    estimator = clone(estimator)
    if _needs_fit(method):
        last = _last_to_be_fitted(estimator)
        if last is not None and "method" in last.get_params(deep=False):
            last.set_params(method=clone(method, safe=False))
    return estimator


def _needs_fit(method: Method) -> bool:
    """Return whether a score learns from the training samples."""
    return method is not None and make_score(method).needs_fit


def _last_to_be_fitted(estimator: BaseEstimator) -> BaseEstimator | None:
    """Return the estimator that scores, or None if it is frozen."""
    if isinstance(estimator, FrozenEstimator):
        return None
    if isinstance(estimator, BaseSearchCV):
        return _last_to_be_fitted(estimator.estimator)
    if isinstance(estimator, Pipeline):
        return _last_to_be_fitted(estimator.steps[-1][1])
    return estimator


def unwrap(estimator: BaseEstimator, X: Any = None) -> tuple[BaseEstimator, Any]:
    """Return the last step of a pipeline, search or frozen estimator, and X for it.

    The steps before it transform X. Leave X out if they are not fitted.
    """
    if isinstance(estimator, FrozenEstimator):
        return unwrap(estimator.estimator, X)
    if isinstance(estimator, BaseSearchCV):
        best = getattr(estimator, "best_estimator_", estimator.estimator)
        return unwrap(best, X)
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps[:-1]:
            # "passthrough", None and resamplers have no transform.
            if X is not None and hasattr(step, "transform"):
                X = step.transform(X)
        return unwrap(estimator.steps[-1][1], X)
    return estimator, X


def _response(estimator: BaseEstimator, method: Method) -> Callable:
    """Return the function from X to confidences; raise an error if there is none."""
    if hasattr(estimator, "ood_score"):
        if method is None:
            return lambda X: -estimator.ood_score(X)
        if "method" in signature(estimator.ood_score).parameters:
            return lambda X: -estimator.ood_score(X, method=method)
    if method is None:
        return _default_response(estimator)
    return _logit_response(estimator, method)


def _default_response(estimator: BaseEstimator) -> Callable:
    """Return the confidence of an estimator without `ood_score`."""
    if hasattr(estimator, "score_samples"):
        return estimator.score_samples
    if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        return lambda X: -score_logits(_log(estimator.predict_proba(X)), "msp")
    if is_classifier(estimator) and hasattr(estimator, "decision_function"):
        return lambda X: _largest(estimator.decision_function(X))
    if isinstance(estimator, OutlierMixin) and hasattr(estimator, "decision_function"):
        return estimator.decision_function
    raise TypeError(_no_confidence(estimator))


def _no_confidence(estimator: BaseEstimator) -> str:
    """Return the message that nothing tells how confident an estimator is."""
    name = type(estimator).__name__
    if hasattr(estimator, "decision_function") or hasattr(estimator, "predict_proba"):
        return (
            f"{name} is neither a classifier nor an outlier detector of scikit-learn, "
            "so nothing says whether its decision_function or predict_proba is higher "
            "for known samples. PyOD's, for example, are higher for outliers. Pass a "
            "subclass whose score_samples(X) is higher for known samples, such as one "
            "that returns -self.decision_function(X)."
        )
    return (
        f"{name} gives no confidence: it has neither ood_score nor score_samples, "
        "predict_proba or decision_function. Pass an estimator that has one of these."
    )


def _logit_response(estimator: BaseEstimator, method: Method) -> Callable:
    """Return a confidence from logits, for classifiers without `ood_score`."""
    name = type(estimator).__name__
    score = method if isinstance(method, LogitScore) else None
    if isinstance(method, str) and method in LOGIT_SCORES:
        score = make_score(method)
    if score is None:
        raise ValueError(_no_score(method, estimator))
    needed = _needed(method)
    to_logits = _log if needed == "predict_proba" else _both_sides
    if not (is_classifier(estimator) and hasattr(estimator, needed)):
        raise TypeError(
            f"method={method!r} needs a classifier with {needed}, which {name} is not. "
            "Use method=None, which takes the first score that there is."
        )
    return lambda X: -score.of_logits(to_logits(getattr(estimator, needed)(X)))


def _needed(method: Method) -> str:
    """Return what a score of logits is computed from."""
    is_of_decisions = isinstance(method, str) and method in _SCORES_OF_DECISIONS
    return "decision_function" if is_of_decisions else "predict_proba"


def _no_score(method: Method, estimator: BaseEstimator) -> str:
    """Return the message that a method is not a score for an estimator."""
    why = f"method={method!r} is not a score for {type(estimator).__name__}"
    if isinstance(method, OODScore | list) or method in SCORES:
        why += ": it needs the network of a ConfidentClassifier"
    possible = [
        repr(name)
        for name in LOGIT_SCORES
        if is_classifier(estimator) and hasattr(estimator, _needed(name))
    ]
    if not possible:
        return f"{why}. Use method=None, which takes the first score that there is."
    return f"{why}. Choose one of {', '.join(possible)}, or None."


def _log(probabilities: ArrayLike) -> np.ndarray:
    """Return log probabilities, which are logits; -inf where the probability is 0."""
    with np.errstate(divide="ignore"):
        return np.log(to_numpy(probabilities, np.float64))


def _both_sides(decision: ArrayLike) -> np.ndarray:
    """Return decision values as logits, one column per class.

    A binary decision d is the difference of two logits. Many pairs have that
    difference, but only [-d/2, d/2] treats both classes alike: with [0, d] the energy
    of a sample would grow without bound on one side and vanish on the other.
    """
    decision = to_numpy(decision, np.float64)
    if decision.ndim == 1:
        return np.column_stack([-decision / 2, decision / 2])
    return decision


def _largest(decision: ArrayLike) -> np.ndarray:
    """Return the largest decision value of each sample, or its distance from 0."""
    decision = to_numpy(decision, np.float64)
    return decision.max(axis=1) if decision.ndim == 2 else np.abs(decision)
