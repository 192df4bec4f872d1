# SPDX-License-Identifier: BSD-3-Clause
"""One confidence for every estimator: higher means in-distribution."""

from inspect import signature

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from confident_clf.scores._base import LogitScore, OODScore
from confident_clf.scores._logits import LOGIT_SCORES, score_logits
from confident_clf.scores._make import SCORES, make_score
from confident_clf.utils._sklearn import BaseSearchCV

# These keep the size of the logits, which probabilities have lost.
_SCORES_OF_DECISIONS = {"energy", "max_logit"}


def id_confidence(estimator, X, method=None):
    """Return how in-distribution a fitted estimator takes each sample to be.

    Parameters
    ----------
    estimator : estimator
        Fitted. Pipelines, searches and frozen estimators are looked into: the last step
        scores, whatever the wrapper passes on.
    X : array-like of shape (n_samples, ...)
        Samples.
    method : str, object or None, default=None
        None takes the first the estimator has of ``ood_score`` (negated),
        ``score_samples``, ``predict_proba`` (maximum probability, as minus ``msp``) and
        ``decision_function`` (largest value; its distance from 0 for binary
        classifiers). Otherwise it is passed to ``ood_score``; of classifiers without
        one, a name in :data:`~confident_clf.scores.LOGIT_SCORES`, or a score of logits
        such as ``GEN()``, is computed from ``predict_proba`` or ``decision_function``.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Higher for in-distribution.

    Raises
    ------
    TypeError
        If the estimator lacks what the score is computed from.
    ValueError
        If there is no such method, or a confidence is NaN.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from confident_clf.scores._response import id_confidence
    >>> clf = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    >>> id_confidence(clf, [[0.0], [99.0]]).round(1).tolist()
    [-0.5, -0.0]
    """
    estimator, X = unwrap(estimator, X)
    confidence = np.asarray(_response(estimator, method)(X), dtype=np.float64)
    if np.isnan(confidence).any():
        raise ValueError(
            f"{type(estimator).__name__} gives {np.isnan(confidence).sum()} of "
            f"{len(confidence)} samples a confidence of NaN (method={method!r}). Look "
            "for values it cannot handle in X, or for a fit that diverged."
        )
    return confidence


def check_method(estimator, method):
    """Raise an error unless `id_confidence` can work, before anything is fitted.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    method : str, object or None
        As in `id_confidence`.

    Raises
    ------
    TypeError
        If the estimator lacks what the score is computed from.
    ValueError
        If there is no such method.
    """
    _response(unwrap(estimator)[0], method)


def to_be_fitted(estimator, method):
    """Return a clone to fit that will have fitted the score too, if that needs it.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    method : str, object or None
        As in `id_confidence`. One that learns from the training samples becomes the
        classifier's own, which then fits it on just the samples it is trained on.

    Returns
    -------
    estimator
        The clone.
    """
    estimator = clone(estimator)
    if _needs_fit(method):
        last = _last_to_be_fitted(estimator)
        if last is not None and "method" in last.get_params(deep=False):
            last.set_params(method=clone(method, safe=False))
    return estimator


def _needs_fit(method):
    """Return whether a method learns from the training samples."""
    return method is not None and make_score(method).needs_fit


def _last_to_be_fitted(estimator):
    """Return the estimator that scores, or None if it is frozen."""
    if isinstance(estimator, FrozenEstimator):
        return None
    if isinstance(estimator, BaseSearchCV):
        return _last_to_be_fitted(estimator.estimator)
    if isinstance(estimator, Pipeline):
        return _last_to_be_fitted(estimator.steps[-1][1])
    return estimator


def unwrap(estimator, X=None):
    """Return the estimator that scores, and X as it arrives there.

    Parameters
    ----------
    estimator : estimator
        Pipelines, searches and frozen estimators are looked into.
    X : array-like of shape (n_samples, ...) or None, default=None
        Samples, where the estimator is fitted.

    Returns
    -------
    estimator : estimator
        The last step.
    X : array-like or None
        As the steps before it transform X.
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


def _response(estimator, method):
    """Return the function from X to confidences; raise if the estimator has none."""
    if hasattr(estimator, "ood_score"):
        if method is None:
            return lambda X: -estimator.ood_score(X)
        if "method" in signature(estimator.ood_score).parameters:
            return lambda X: -estimator.ood_score(X, method=method)
    if method is None:
        return _default_response(estimator)
    return _logit_response(estimator, method)


def _default_response(estimator):
    """Return the confidence of an estimator without `ood_score`."""
    if hasattr(estimator, "score_samples"):
        return estimator.score_samples
    if hasattr(estimator, "predict_proba"):
        return lambda X: -score_logits(_log(estimator.predict_proba(X)), "msp")
    if hasattr(estimator, "decision_function"):
        distance = np.abs if is_classifier(estimator) else np.asarray
        return lambda X: _largest(estimator.decision_function(X), distance)
    raise TypeError(
        f"{type(estimator).__name__} gives no confidence: it has none of ood_score, "
        "score_samples, predict_proba and decision_function. Pass an estimator that "
        "has one."
    )


def _logit_response(estimator, method):
    """Return the confidence by a score of logits that a classifier does not know of."""
    name = type(estimator).__name__
    score = method if isinstance(method, LogitScore) else None
    if isinstance(method, str) and method in LOGIT_SCORES:
        score = make_score(method)
    if score is None:
        raise ValueError(_no_score(method, name))
    if isinstance(method, str) and method in _SCORES_OF_DECISIONS:
        needed, to_logits = "decision_function", _both_sides
    else:
        needed, to_logits = "predict_proba", _log
    if not (is_classifier(estimator) and hasattr(estimator, needed)):
        raise TypeError(
            f"method={method!r} needs a classifier with {needed}, which {name} is not. "
            "Use method=None, which takes what there is."
        )
    return lambda X: -score.of_logits(to_logits(getattr(estimator, needed)(X)))


def _no_score(method, name):
    """Return the message for a method that is none for a kind of estimator."""
    why = f"method={method!r} is not a score for {name}"
    if isinstance(method, OODScore) or (isinstance(method, str) and method in SCORES):
        why += ": it needs the network of a ConfidentClassifier"
    return f"{why}. Choose one of {', '.join(map(repr, LOGIT_SCORES))}, or None."


def _log(probabilities):
    """Return log probabilities, which are logits; -inf where the probability is 0."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(probabilities, dtype=np.float64))


def _both_sides(decision):
    """Return decision values as logits, one column per class.

    A binary decision d is the difference of two logits. Of all pairs with that
    difference [-d/2, d/2] is the one that treats both classes alike: with [0, d] the
    energy of a sample would grow without bound on one side and vanish on the other.
    """
    decision = np.asarray(decision, dtype=np.float64)
    if decision.ndim == 1:
        return np.column_stack([-decision / 2, decision / 2])
    return decision


def _largest(decision, distance):
    """Return the largest decision value of each sample, or its distance from 0."""
    decision = np.asarray(decision, dtype=np.float64)
    return decision.max(axis=1) if decision.ndim == 2 else distance(decision)
