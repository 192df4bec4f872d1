# SPDX-License-Identifier: BSD-3-Clause
"""Scorers for cross-validation and search."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier

from confident_clf._detection._confidence import Method, id_confidence, unwrap
from confident_clf._detection._synthetic import SYNTHETIC, synthetic_ood
from confident_clf.metrics._calibration_error import expected_calibration_error
from confident_clf.metrics._detection_metrics import (
    aupr_in,
    aupr_out,
    auroc,
    detection_accuracy,
    fpr_at_tpr,
    tnr_at_tpr,
)
from confident_clf.metrics._open_set_metrics import aurc, oscr
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._sklearn import _num_samples, _safe_indexing
from confident_clf.utils._types import SamplesLike


def _msp_calibration_error(
    y_true: np.ndarray, y_score: np.ndarray, *, n_bins: int = 15
) -> float:
    """Return the calibration error of maximum probabilities; `y_score` is minus msp."""
    return expected_calibration_error(y_true, 1 + y_score, n_bins=n_bins)


def _open_set_risk(
    y_true: np.ndarray, y_score: np.ndarray, y_correct: np.ndarray
) -> float:
    """Return the area under the risk-coverage curve, where OOD samples are errors."""
    return aurc(y_correct, y_score)


# Each metric, and the sign that makes greater better.
_METRICS: dict[str, tuple[Callable, int]] = {
    "aupr_in": (aupr_in, 1),
    "aupr_out": (aupr_out, 1),
    "aurc": (_open_set_risk, -1),
    "auroc": (auroc, 1),
    "detection_accuracy": (detection_accuracy, 1),
    "expected_calibration_error": (_msp_calibration_error, -1),
    "fpr_at_tpr": (fpr_at_tpr, -1),
    "oscr": (oscr, 1),
    "tnr_at_tpr": (tnr_at_tpr, 1),
}
# These take a third argument, which is 1 where the predicted class is right.
_OPEN_SET = {_open_set_risk, oscr}


def make_ood_scorer(
    metric: str | Callable = "auroc",
    *,
    X_ood: SamplesLike | None = None,
    method: Method = None,
    **metric_kwargs: Any,
) -> "_OODScorer":
    """Make a scorer of out-of-distribution (OOD) detection for model selection.

    A row is OOD if its label is not in ``estimator.classes_``, or if it comes from
    `X_ood`. So rows labelled -1 and rows of classes left out of training are treated
    alike. The scorer works wherever scikit-learn takes ``scoring``.

    Parameters
    ----------
    metric : str or callable, default="auroc"
        Name of a function of :mod:`confident_clf.metrics`, or any
        ``metric(y_true, y_score, **metric_kwargs)`` that is greater for better
        detection, with 1 for in-distribution (ID) and 0 for OOD in `y_true`. Greater is
        better in all scorers: ``"aurc"``, ``"fpr_at_tpr"`` and
        ``"expected_calibration_error"`` are negated. The last one takes the maximum
        class probability as the probability of being ID. ``"aurc"`` and ``"oscr"`` need
        a classifier.
    X_ood : array-like of shape (n_ood, ...), {"gaussian", "permuted", "uniform"} \
            or None, default=None
        OOD samples, as `estimator` takes them. Every fold is scored on all of them. A
        name makes as many samples as there are ID rows to score, from these rows and
        independently for each feature or pixel: "gaussian" draws normal values with its
        mean and standard deviation, "permuted" reorders its values, and "uniform" draws
        from its range. The same rows always give the same samples.
    method : str, object or None, default=None
        Score to detect by, as in ``ood_score``. None means the estimator's own.
    **metric_kwargs : dict
        Keyword arguments of the metric, such as ``tpr``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``. Without `y`, all rows of X are ID.

    Raises
    ------
    TypeError
        If the metric does not take `metric_kwargs`.
    ValueError
        If there is no such metric or kind of X_ood, or a value in `metric_kwargs` is
        out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from confident_clf.metrics import make_ood_scorer
    >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 5), np.array([0, 0, 1, 1] * 5)
    >>> scorer = make_ood_scorer("tnr_at_tpr", X_ood=[[0.1], [0.2]], tpr=0.9)
    >>> scorer
    make_ood_scorer('tnr_at_tpr', X_ood=<2 samples>, tpr=0.9)
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, scoring=scorer)
    >>> float(search.fit(X, y).best_score_)
    1.0
    """
    function: Callable
    if callable(metric):
        function, sign = metric, 1
    elif metric in _METRICS:
        function, sign = _METRICS[metric]
    else:
        raise ValueError(
            f"metric={metric!r} is not a metric. Choose one of "
            f"{', '.join(map(repr, _METRICS))}, or pass a function (y_true, y_score)."
        )
    if isinstance(X_ood, str) and X_ood not in SYNTHETIC:
        raise ValueError(
            f"X_ood={X_ood!r} is not a kind of samples. Choose one of "
            f"{', '.join(map(repr, SYNTHETIC))}, or pass the samples."
        )
    if function is _msp_calibration_error:
        method = _check_msp(method)
    _check_metric_kwargs(metric, function, metric_kwargs)
    return _OODScorer(metric, function, sign, X_ood, method, metric_kwargs)


class _OODScorer:
    """A metric with everything that is needed to score an estimator by it."""

    def __init__(
        self,
        metric: str | Callable,
        function: Callable,
        sign: int,
        X_ood: SamplesLike | None,
        method: Method,
        metric_kwargs: dict,
    ):
        self.metric = metric
        self.function = function
        self.sign = sign
        self.X_ood = X_ood
        self.method = method
        self.metric_kwargs = metric_kwargs
        self.__name__ = _name(metric, sign)

    def __call__(
        self, estimator: BaseEstimator, X: SamplesLike, y: ArrayLike | None = None
    ) -> float:
        """Return the metric of an estimator; greater is better."""
        y_score = id_confidence(estimator, X, self.method)
        y_true = _is_id(estimator, y, len(y_score))
        arguments = []
        if self.function in _OPEN_SET:
            arguments = [_is_right(estimator, X, y) & y_true]
        if self.X_ood is not None and y_true.any():
            ood_score = id_confidence(estimator, self._ood(X, y_true), self.method)
            no = np.zeros(len(ood_score), dtype=bool)
            y_score = np.append(y_score, ood_score)
            y_true = np.append(y_true, no)
            arguments = [np.append(right, no) for right in arguments]
        if not y_true.any() or y_true.all():
            raise ValueError(_one_kind(y_true, estimator))
        return self.sign * self.function(
            y_true, y_score, *arguments, **self.metric_kwargs
        )

    def _ood(self, X: SamplesLike, is_id: np.ndarray) -> Any:
        """Return the OOD samples; if `X_ood` is a name, make them from ID rows of X."""
        if isinstance(self.X_ood, str):
            return synthetic_ood(_safe_indexing(X, np.flatnonzero(is_id)), self.X_ood)
        return self.X_ood

    def __repr__(self):
        """Return the call that makes the scorer."""
        metric = getattr(self.metric, "__name__", repr(self.metric))
        arguments = [metric if callable(self.metric) else repr(self.metric)]
        if isinstance(self.X_ood, str):
            arguments.append(f"X_ood={self.X_ood!r}")
        elif self.X_ood is not None:
            arguments.append(f"X_ood=<{_num_samples(self.X_ood)} samples>")
        if self.method is not None:
            arguments.append(f"method={self.method!r}")
        arguments += [f"{key}={value!r}" for key, value in self.metric_kwargs.items()]
        return f"make_ood_scorer({', '.join(arguments)})"


def _name(metric: str | Callable, sign: int) -> str:
    """Return a name as scikit-learn's plots of learning curves write on an axis."""
    if callable(metric):
        return getattr(metric, "__name__", "score")
    return f"neg_{metric}" if sign < 0 else metric


def id_accuracy_scorer(estimator: BaseEstimator, X: SamplesLike, y: ArrayLike) -> float:
    """Score a classifier by its accuracy on in-distribution (ID) rows.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier.
    X : array-like of shape (n_samples, ...)
        Samples.
    y : array-like of shape (n_samples,)
        Labels. Rows whose label is not in ``estimator.classes_`` are
        out-of-distribution and do not count.

    Returns
    -------
    float
        Share of right predictions, between 0 and 1.

    Raises
    ------
    TypeError
        If the estimator is not a classifier.
    ValueError
        If no row is ID.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from confident_clf.metrics import id_accuracy_scorer
    >>> clf = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    >>> id_accuracy_scorer(clf, [[-2.0], [2.0], [0.0]], [0, 1, -1])
    1.0
    """
    if not is_classifier(estimator):
        raise TypeError(
            f"id_accuracy_scorer needs a classifier; {type(estimator).__name__} is not "
            "a classifier. Use a scorer made by make_ood_scorer."
        )
    is_id = _is_id(estimator, y, _num_samples(y))
    if not is_id.any():
        raise ValueError(_one_kind(is_id, estimator))
    predicted = estimator.predict(_safe_indexing(X, np.flatnonzero(is_id)))
    return float(np.mean(predicted == np.ravel(y)[is_id]))


def _is_id(estimator: BaseEstimator, y: ArrayLike | None, n_samples: int) -> np.ndarray:
    """Return which labels are classes of the estimator; without y, all rows are ID."""
    if y is None:
        return np.ones(n_samples, dtype=bool)
    if not hasattr(estimator, "classes_"):
        raise ValueError(
            f"{type(estimator).__name__} has no classes_ to tell which labels in y are "
            "out-of-distribution. Leave y out, and give such samples as X_ood."
        )
    return np.isin(np.ravel(to_numpy(y)), estimator.classes_)


def _is_right(
    estimator: BaseEstimator, X: SamplesLike, y: ArrayLike | None
) -> np.ndarray:
    """Return where a classifier predicts the label."""
    if y is None or not is_classifier(estimator):
        raise TypeError(
            "metric='oscr' and metric='aurc' need a classifier and labels; got "
            f"{type(estimator).__name__}{' without y' if y is None else ''}. Use "
            "metric='auroc'."
        )
    estimator, X = unwrap(estimator, X)
    # Samples that an OpenSetClassifier refuses count with their predicted class.
    classifier = estimator.estimator_ if hasattr(estimator, "detector_") else estimator
    return np.ravel(classifier.predict(X)) == np.ravel(y)


def _one_kind(is_id: np.ndarray, estimator: BaseEstimator) -> str:
    """Return the message that all rows are of one kind."""
    if is_id.any():
        return (
            f"All {len(is_id)} rows are in-distribution: every label is among the "
            "classes_ of the estimator. Add rows with another label, such as -1, leave "
            "classes out of training, or make the scorer with X_ood."
        )
    return (
        f"All {len(is_id)} rows are out-of-distribution: no label is among the "
        f"classes_ {estimator.classes_.tolist()} of {type(estimator).__name__}. Score "
        "rows of these classes too."
    )


def _check_msp(method: object) -> str:
    """Return "msp", the only score that is a probability; refuse other methods."""
    if method in (None, "msp"):
        return "msp"
    raise ValueError(
        f"method={method!r} is not a probability, which 'expected_calibration_error' "
        "needs. Leave method=None, or use 'msp'."
    )


def _check_metric_kwargs(
    metric: str | Callable, function: Callable, metric_kwargs: dict
) -> None:
    """Raise an error unless the metric takes these arguments."""
    n_arguments = 3 if function in _OPEN_SET else 2
    try:
        signature(function).bind(*[None] * n_arguments, **metric_kwargs)
    except TypeError as error:
        raise TypeError(f"metric={metric!r}: {error}.") from error
    if metric_kwargs and isinstance(metric, str):
        # The metric checks the values itself, for which two rows are enough.
        function([1, 0], np.array([-0.1, -0.9]), **metric_kwargs)


auroc_scorer = make_ood_scorer("auroc")
tnr_scorer = make_ood_scorer("tnr_at_tpr")
