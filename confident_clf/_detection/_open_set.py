# SPDX-License-Identifier: BSD-3-Clause
"""OpenSetClassifier: a class, or the label for unknown."""

from copy import copy
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    is_classifier,
)
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted, validate_data

from confident_clf._detection._calibration import is_frozen
from confident_clf._detection._decisions import Decisions
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._reservoir import can_stream
from confident_clf.scores._make_score import Method
from confident_clf.utils._errstate import usual_errors
from confident_clf.utils._fitted import check_fitted
from confident_clf.utils._labels import (
    check_labels,
    check_same_kind,
    common_dtype,
    labels_to_learn,
)
from confident_clf.utils._sklearn import _fit_context, available_if
from confident_clf.utils._types import RandomState, SamplesLike


def _has_predict_proba(self) -> bool:
    """Return whether the classifier inside has `predict_proba`."""
    return hasattr(getattr(self, "estimator_", self.estimator), "predict_proba")


class OpenSetClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier that answers "unknown" where it is not confident enough.

    Fits a classifier, and an :class:`OODDetector` around it. A sample that the detector
    accepts gets the class that the classifier predicts; all others get `unknown_label`.
    A new in-distribution (ID) sample gets a class with a probability of at least
    `target_tpr`.

    Parameters
    ----------
    estimator : estimator
        Any classifier with ``ood_score``, ``score_samples``, ``predict_proba`` or
        ``decision_function``, or a pipeline that ends in one. A fitted one,
        ``FrozenEstimator(estimator)``, is not fitted again. Then all rows calibrate, so
        pass rows it was not trained on.
    target_tpr : float, default=0.95
        Probability to give an ID sample a class, between 0 and 1.
    method : str, OODScore or None, default=None
        Score to detect by, as in :class:`OODDetector`.
    cv : float, int, splitter, iterable or None, default=0.2
        Where the rows that calibrate come from, as in :class:`OODDetector`.
    unknown_label : int, float or str, default=-1
        What `predict` returns for samples of no class: a string if the classes are
        strings, else a number. It must not be one of the classes.
    per_class : bool, default=False
        Whether every class has its own threshold, as in :class:`OODDetector`.
    reservoir_size : int, default=1000
        How many of the rows that `partial_fit` holds out are kept to calibrate with.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out share of a float `cv`. Pass an int for the same result each
        time.

    Attributes
    ----------
    detector_ : OODDetector
        The fitted detector.
    estimator_ : estimator
        The fitted classifier.
    classes_ : ndarray of shape (n_classes,)
        Classes of `estimator_`; `unknown_label` is not among them.
    threshold_ : float or ndarray of shape (n_classes,)
        Smallest confidence, as given by `score_samples`, that gets a class. Missing as
        long as `partial_fit` has held out too few rows.
    uncalibrated_classes_ : ndarray
        Classes that were too rare to calibrate with, as in :class:`OODDetector`.
    n_features_in_ : int
        Number of features seen during `fit`, for two-dimensional X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`, where all are strings.

    See Also
    --------
    OODDetector : Only decides whether a sample is in-distribution; has p-values.
    confident_clf.metrics.oscr : Measures classification and detection at once.

    Notes
    -----
    `predict_proba` has no column for unknown samples, so `predict` does not always
    return the class with the largest probability. `score` is the accuracy of `predict`:
    a sample labelled `unknown_label` in y counts as right if it gets no class.

    If the classifier itself sets rows aside by a parameter `ood_label`, these may be
    labelled `unknown_label` in y.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from confident_clf import OpenSetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000)
    >>> open_set = OpenSetClassifier(clf, target_tpr=0.9, random_state=0).fit(X, y)
    >>> new = [[5.0, 3.4, 1.5, 0.2], [6.0, 2.8, 4.9, 1.7]]
    >>> open_set.predict(new).tolist()
    [0, -1]
    >>> open_set.estimator_.predict(new).tolist()
    [0, 2]
    """

    _parameter_constraints: dict = {
        **OODDetector._parameter_constraints,
        "unknown_label": [Real, str],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        target_tpr: float = 0.95,
        method: Method = None,
        cv: Any = 0.2,
        unknown_label: Any = -1,
        per_class: bool = False,
        reservoir_size: int = 1000,
        random_state: RandomState = None,
    ):
        self.estimator = estimator
        self.target_tpr = target_tpr
        self.method = method
        self.cv = cv
        self.unknown_label = unknown_label
        self.per_class = per_class
        self.reservoir_size = reservoir_size
        self.random_state = random_state

    @usual_errors
    @_fit_context(
        # The parameters of estimator are not validated yet.
        prefer_skip_nested_validation=False
    )
    def fit(self, X: SamplesLike, y: ArrayLike | None = None, **params: Any) -> Self:
        """Fit the classifier and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the classifier takes them.
        y : array-like of shape (n_samples,) or None, default=None
            Labels. Only a frozen classifier can do without.
        **params : dict
            Parameters of the classifier's `fit`, as in :meth:`OODDetector.fit`.

        Returns
        -------
        OpenSetClassifier
            The fitted classifier. If an error is raised, it is what it was before.

        Raises
        ------
        TypeError
            If `estimator` is not a classifier, or lacks what the score is computed
            from.
        ValueError
            Before anything is fitted, if `unknown_label` is a label in y, if one of
            them is a string and the other is not, or if no dtype holds all of them
            exactly. Also as in :meth:`OODDetector.fit`.
        """
        y = self._check(y)
        self._keep(X, self._make_detector().fit(X, y, **params))
        return self

    @available_if(can_stream)
    @usual_errors
    @_fit_context(
        # The parameters of estimator are not validated yet.
        prefer_skip_nested_validation=False
    )
    def partial_fit(
        self,
        X: SamplesLike,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Train on a part of a batch, and set the threshold by a sample of the rest.

        See :meth:`OODDetector.partial_fit` for how the rows are held out, and what that
        promises.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            A batch of samples, as the classifier takes them.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels that will ever occur, for the first call. None means those of the
            first batch.
        **params : dict
            Parameters of the classifier's `partial_fit`.

        Returns
        -------
        OpenSetClassifier
            The classifier. If an error is raised, it is what it was before.

        Raises
        ------
        AttributeError
            If the classifier is frozen or does not have `partial_fit`, or if `cv` is
            not a float.
        TypeError
            As in `fit`.
        ValueError
            As in `fit`, and in :meth:`OODDetector.partial_fit`.
        """
        y = self._check(y, classes)
        detector = self._make_detector()
        if hasattr(self, "detector_"):
            detector = copy(self.detector_).set_params(**self._detector_params())
        self._keep(X, detector.partial_fit(X, y, classes, **params))
        return self

    def _check(self, y, classes=None):
        """Return y; raise an error if `unknown_label` cannot be next to its labels.

        Or next to all `classes`, if y is a part of a stream.
        """
        if not is_classifier(self.estimator):
            raise TypeError(
                f"OpenSetClassifier needs a classifier; {type(self.estimator).__name__}"
                " is not a classifier. Use OODDetector, which takes any estimator."
            )
        y = None if y is None else check_labels(y)
        labels = y if classes is None else check_labels(classes)
        check_unknown_label(self.unknown_label, self._expected_classes(labels))
        return y

    def _keep(self, X, detector):
        """Keep a fitted detector, and what is known of its classifier."""
        # An ensemble may have learnt the rows of the classifier's `ood_label`.
        check_unknown_label(self.unknown_label, detector.classes_)
        validate_data(self, X, skip_check_array=True)  # sets n_features_in_
        self.detector_ = detector
        self.estimator_ = detector.estimator_
        self.classes_ = detector.classes_
        vars(self).pop("threshold_", None)
        if hasattr(detector, "threshold_"):
            self.threshold_ = detector.threshold_
        self.uncalibrated_classes_ = detector.uncalibrated_classes_
        self._unknown_label = self.unknown_label

    def _make_detector(self) -> OODDetector:
        """Return the detector, not fitted."""
        return OODDetector(**self._detector_params())

    def _detector_params(self) -> dict:
        """Return the parameters of the detector."""
        params = self.get_params(deep=False)
        del params["unknown_label"]
        return params

    def _expected_classes(self, y: np.ndarray | None) -> np.ndarray:
        """Return the classes that the classifier has, or will have after `fit`."""
        if is_frozen(self):
            check_is_fitted(self.estimator)
            return self.estimator.classes_
        return np.array([]) if y is None else labels_to_learn(self.estimator, y)

    @usual_errors
    def predict(self, X: SamplesLike) -> np.ndarray:
        """Return the class of each sample, or `unknown_label`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            The class that the classifier predicts where `detector_` accepts the sample,
            else `unknown_label`.
        """
        return self.decide(X).label

    @usual_errors
    def decide(self, X: SamplesLike) -> Decisions:
        """Return class, decision, p-value and score of each sample, by one pass.

        See :meth:`OODDetector.decide` for what one pass means.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        Decisions
            A named tuple of arrays: `label`, what `predict` returns; `accepted`,
            whether that is a class; `p_value`, of being in-distribution; `ood_score`.
            Its ``to_frame()`` is a table.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from confident_clf import OpenSetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = LogisticRegression(max_iter=1000)
        >>> open_set = OpenSetClassifier(clf, target_tpr=0.9, random_state=0).fit(X, y)
        >>> decisions = open_set.decide([[5.0, 3.4, 1.5, 0.2], [6.0, 2.8, 4.9, 1.7]])
        >>> decisions.label.tolist(), decisions.accepted.tolist()
        ([0, -1], [True, False])
        """
        check_fitted(self, "detector_")
        decisions = self.detector_.decide(X)
        dtype = common_dtype(np.asarray(self.classes_), self._unknown_label)
        unknown = np.array(self._unknown_label, dtype=dtype)
        label = np.where(
            decisions.accepted, np.asarray(decisions.label, dtype), unknown
        )
        return decisions._replace(label=label)

    @available_if(_has_predict_proba)
    @usual_errors
    def predict_proba(self, X: SamplesLike) -> np.ndarray:
        """Return the probabilities of the classes, as the classifier gives them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            One column for each of `classes_`. Unknown has no column.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @usual_errors
    def score_samples(self, X: SamplesLike) -> np.ndarray:
        """Return the confidence of the classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Higher for in-distribution.
        """
        check_is_fitted(self)
        return self.detector_.score_samples(X)

    def ood_score(self, X: SamplesLike) -> np.ndarray:
        """Return minus the confidence of the classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Higher for out-of-distribution.
        """
        return -self.score_samples(X)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata given to `fit` are routed.

        Returns
        -------
        MetadataRouter
            To the estimator's `fit` and the splitter's `split`.
        """
        return self._make_detector().get_metadata_routing()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags.required = not is_frozen(self)
        if inner.classifier_tags is not None:
            tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
        return tags


def check_unknown_label(unknown_label: float | str, classes: np.ndarray) -> None:
    """Raise ValueError if `unknown_label` is a class, or cannot be next to them."""
    if classes.dtype.kind in "mM":
        raise ValueError(
            f"unknown_label={unknown_label!r} cannot mix with labels that are dates or "
            f"times, such as {classes[0]}. Make the labels strings."
        )
    if unknown_label in classes.tolist():
        raise ValueError(
            f"unknown_label={unknown_label!r} is a label in y, so it cannot mean "
            f"unknown: the labels are {classes[:10].tolist()}. Pass another "
            "unknown_label. If such rows are out-of-distribution, drop them, or set "
            "ood_label of a ConfidentClassifier."
        )
    check_same_kind("unknown_label", unknown_label, classes)
    if common_dtype(classes, unknown_label) is None:
        raise ValueError(
            f"unknown_label={unknown_label!r} and labels of {classes.dtype}, such as "
            f"{classes.tolist()[-1]!r}, do not fit into one dtype exactly. Pass an "
            "unknown_label of the dtype of the labels, or make the labels strings."
        )
