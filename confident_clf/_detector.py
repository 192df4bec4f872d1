# SPDX-License-Identifier: BSD-3-Clause
"""From a confidence to a decision, with a guarantee."""

from numbers import Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
)
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from confident_clf._calibration import CalibrationMixin
from confident_clf.scores import OODScore
from confident_clf.scores._make import SCORES
from confident_clf.scores._response import id_confidence
from confident_clf.utils._conformal import (
    conformal_p_values,
    conformal_threshold,
    discoveries,
)
from confident_clf.utils._rows import (
    class_index,
)
from confident_clf.utils._sklearn import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _fit_context,
)


class OODDetector(
    CalibrationMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Detector of out-of-distribution samples that accepts a given share of others.

    Fits an estimator and sets the threshold on its confidence so that a new
    in-distribution (ID) sample is accepted with probability `target_tpr` at least: the
    threshold-based detector of [1]_ with the threshold of split-conformal prediction
    [2]_, [3]_. No out-of-distribution (OOD) sample is needed.

    Parameters
    ----------
    estimator : estimator
        Any estimator with ``ood_score``, ``score_samples``, ``predict_proba`` or
        ``decision_function``: a classifier, a density, an outlier detector, a pipeline
        that ends in one. Given fitted, as ``FrozenEstimator(estimator)``, it is not
        fitted again, and all rows calibrate: rows that it was not trained on.
    target_tpr : float, default=0.95
        Probability to accept an ID sample, between 0 and 1.
    method : {"msp", "odin", "energy", "max_logit", "entropy", "margin", "gen", \
            "react", "knn", "mahalanobis", "rmd", "vim"}, OODScore or None, default=None
        Score to detect by. None takes the first the estimator has of the four above.
        "odin", and those from "react" on, which are fitted on the training rows of
        `estimator_`, need a :class:`ConfidentClassifier`, as it is or as the last step
        of a pipeline. A frozen one must have been fitted with that method itself: rows
        that calibrate cannot fit a score too.
    cv : float, int, splitter, iterable or None, default=0.2
        Where the rows that calibrate come from:

        - float: this share of the rows, drawn at random, is held out; `estimator` is
          fitted on the others. Only this, or a frozen estimator that has not seen the
          rows, gives the guarantee.
        - int, splitter or iterable, as in :func:`sklearn.model_selection.check_cv`:
          every row is scored by an estimator fitted without it, and the estimator used
          later is fitted on all rows. It wastes no rows, but has no finite-sample
          guarantee, since the estimator that scores new samples calibrated none.
          None is 5 folds.
    per_class : bool, default=False
        Whether each class has a threshold of its own, so that the ID samples predicted
        to be of it are accepted with probability `target_tpr` at least, for every
        class. Otherwise some classes may be rejected more often than others. It takes
        a classifier, and enough calibration rows of every class.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out share of a float `cv`. Fix it for the same result each time.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during `fit`, for two-dimensional X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`, where all are strings.
    estimator_ : estimator
        The fitted estimator that scores new samples.
    classes_ : ndarray of shape (n_classes,)
        Classes of `estimator_`, where it has them.
    calibration_scores_ : ndarray of shape (`n_calibration_`,) or list of ndarray
        Confidences of the calibration rows, in ascending order, each lowered by a
        relative 1e-9, so that the same row is never below itself by rounding. With
        `per_class` a list, of the rows predicted to be of each class.
    n_calibration_ : int or ndarray of shape (n_classes,)
        Number of calibration rows; with `per_class`, of each class. Rows whose label is
        not in `classes_`, which the estimator itself set aside as OOD, are not among
        them.
    threshold_ : float or ndarray of shape (n_classes,)
        Smallest confidence, as given by `score_samples`, that is accepted: one of
        `calibration_scores_`; with `per_class`, one for each class.

    See Also
    --------
    OpenSetClassifier : Predicts a class, or that it is none of them.
    confident_clf.metrics.ood_report : Measures a confidence on ID and OOD samples.

    Notes
    -----
    With n calibration rows the threshold is the k-th smallest of their confidences,
    k = (n + 1) - ceil((n + 1) * target_tpr). A sample from the same distribution is
    accepted with probability 1 - k / (n + 1), which is `target_tpr` or more, for every
    n; ties only add to it. The probability is over draws of the calibration rows too:
    given these, the share accepted has the Beta distribution with parameters
    n + 1 - k and k, which scatters by about sqrt(t * (1 - t) / n) around
    t = `target_tpr`. The guarantee is for samples of `classes_`, where the estimator
    has them.

    The rows of a float `cv` are not stratified: to fix how many of each class calibrate
    would end the guarantee, as all of a class too rare to be drawn may be rejected.

    It is no :class:`~sklearn.base.OutlierMixin`, because estimators of that kind are
    fitted without labels; `predict` and `decision_function` have the same meaning.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 1.
    .. [2] Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
       Springer 2005.
    .. [3] Bates et al., "Testing for Outliers with Conformal p-values", Annals of
       Statistics 51(1), 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from confident_clf import OODDetector
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000)
    >>> detector = OODDetector(clf, target_tpr=0.9, random_state=0).fit(X, y)
    >>> detector.n_calibration_
    30
    >>> new = [[5.0, 3.4, 1.5, 0.2], [6.0, 2.8, 4.9, 1.7]]
    >>> detector.predict(new).tolist()
    [1, -1]
    >>> (detector.p_value(new) > 0.1).tolist()
    [True, False]
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods("fit")],
        "target_tpr": [Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions(set(SCORES)), OODScore, None],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "per_class": ["boolean"],
        "random_state": ["random_state"],
    }
    # `fdr` is for the caller of predict, not for routing.
    __metadata_request__predict = {"fdr": UNUSED}

    def __init__(
        self,
        estimator,
        *,
        target_tpr=0.95,
        method=None,
        cv=0.2,
        per_class=False,
        random_state=None,
    ):
        self.estimator = estimator
        self.target_tpr = target_tpr
        self.method = method
        self.cv = cv
        self.per_class = per_class
        self.random_state = random_state

    @_fit_context(
        # The parameters of estimator are not validated yet.
        prefer_skip_nested_validation=False
    )
    def fit(self, X, y=None, **params):
        """Fit the estimator and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the estimator takes them.
        y : array-like of shape (n_samples,) or None, default=None
            Labels, for estimators that need them.
        **params : dict
            Parameters of the estimator's `fit`, such as ``X_ood``; of a pipeline as
            ``step__X_ood``, or by metadata routing where that is enabled. Those with
            one value per row are split with the rows; `X_ood` never is.

        Returns
        -------
        OODDetector
            The fitted detector. If an error is raised, it is what it was before.

        Raises
        ------
        TypeError
            If the estimator lacks what the score is computed from, or with `per_class`
            is no classifier.
        ValueError
            If the rows, or with `per_class` those of a class, are too few for
            `target_tpr`, a confidence is NaN, or, with a frozen estimator, a label is
            not in its classes.
        """
        estimator, groups = self._calibrate(X, y, params)
        thresholds = [conformal_threshold(group, self.target_tpr) for group in groups]
        sizes = [len(group) for group in groups]
        validate_data(self, X, skip_check_array=True)  # sets n_features_in_
        self.estimator_ = estimator
        self._method = self.method  # the thresholds are of its scores
        self.calibration_scores_ = groups if self.per_class else groups[0]
        self.n_calibration_ = np.array(sizes) if self.per_class else sizes[0]
        self.threshold_ = np.array(thresholds) if self.per_class else thresholds[0]
        return self

    def predict(self, X, *, fdr=None):
        """Return 1 for samples taken to be in-distribution, -1 for others.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        fdr : float or None, default=None
            None decides on each sample alone, by the threshold. A number between 0 and
            1 decides on the batch as a whole, by the procedure of Benjamini and
            Hochberg on `p_value`: of the samples called OOD, a share of `fdr` at most
            is ID, in expectation over draws of calibration and new samples [1]_. What
            is called OOD then depends on the other samples, and `target_tpr` plays no
            role. As no p-value is below 1 / (1 + `n_calibration_`), a batch of m takes
            about m / (`fdr` * number of its OOD samples) calibration rows to find any.

        Returns
        -------
        ndarray of shape (n_samples,), int
            -1 for OOD, 1 for others: without `fdr`, where `decision_function` is 0 or
            more.

        Raises
        ------
        ValueError
            If `fdr` is not between 0 and 1.

        References
        ----------
        .. [1] Bates et al., "Testing for Outliers with Conformal p-values", Annals of
           Statistics 51(1), 2023, theorem 2.
        """
        if fdr is None:
            return np.where(self.decision_function(X) >= 0, 1, -1)
        return np.where(discoveries(self.p_value(X), fdr), -1, 1)

    def transform(self, X):
        """Return the paper's label, 1 in-distribution and 0 out, as a feature.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, 1), float64
            1.0 where `predict` is 1, else 0.0.
        """
        return (self.predict(X) == 1).astype(np.float64)[:, np.newaxis]

    def decision_function(self, X):
        """Return the confidence, shifted so that the threshold is 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            ``score_samples(X) - threshold_``, higher for in-distribution; with
            `per_class`, the threshold of the predicted class.
        """
        scores = self.score_samples(X)
        # The difference of two floats is 0 only if they are equal, so no sign is lost.
        return scores - np.atleast_1d(self.threshold_)[self._group_index(X)]

    def score_samples(self, X):
        """Return the confidence of the estimator.

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
        # Files of the first format lack it.
        method = getattr(self, "_method", self.method)
        confidence = id_confidence(self.estimator_, X, method)
        if not hasattr(self.estimator_, "n_features_in_"):
            # Others have compared X with what they were fitted on themselves.
            validate_data(self, X, reset=False, skip_check_array=True)
        return confidence

    def ood_score(self, X):
        """Return minus the confidence of the estimator.

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

    def p_value(self, X):
        """Return the conformal p-value of each sample being in-distribution.

        Of in-distribution samples at most a share alpha have a p-value of alpha or
        less, for every alpha. `predict` is 1 exactly where the p-value is above
        1 - `target_tpr`, the difference taken exactly: in floats 1 - 0.9 is a little
        less than 0.1.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            (1 + number of calibration scores that are not higher) divided by
            (1 + `n_calibration_`), with `per_class` those of the predicted class; small
            for out-of-distribution.
        """
        scores = self.score_samples(X)
        if np.ndim(self.threshold_) == 0:
            return conformal_p_values(self.calibration_scores_, scores)
        p_values, index = np.empty_like(scores), self._group_index(X)
        for group, calibration_scores in enumerate(self.calibration_scores_):
            rows = index == group
            p_values[rows] = conformal_p_values(calibration_scores, scores[rows])
        return p_values

    def _group_index(self, X):
        """Return which threshold each sample has."""
        if np.ndim(self.threshold_) == 0:
            return 0
        return class_index(self.classes_, self.estimator_.predict(X))

    @property
    def classes_(self):
        """Classes of the fitted estimator."""
        return self.estimator_.classes_

    @property
    def _n_features_out(self):
        """Number of columns of `transform`; none before fit."""
        check_is_fitted(self)
        return 1

    def get_metadata_routing(self):
        """Return how metadata given to `fit` are routed.

        Returns
        -------
        MetadataRouter
            To the estimator's `fit` and the splitter's `split`.
        """
        return (
            MetadataRouter(owner=type(self).__name__)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        needs_y = inner.target_tags.required and not self._is_frozen()
        tags.target_tags.required = needs_y
        return tags
