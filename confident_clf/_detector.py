# SPDX-License-Identifier: BSD-3-Clause
"""From a confidence to a decision, with a guarantee."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    is_classifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from confident_clf.scores import OODScore
from confident_clf.scores._make import SCORES
from confident_clf.scores._response import check_method, id_confidence, to_be_fitted
from confident_clf.utils._conformal import check_enough, conformal_threshold, lower
from confident_clf.utils._rows import is_known, params_of_rows
from confident_clf.utils._sklearn import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _fit_context,
    _num_samples,
    _routing_enabled,
    _safe_split,
)


class OODDetector(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, MetaEstimatorMixin, BaseEstimator
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
        fitted again, and all rows calibrate.
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
    calibration_scores_ : ndarray of shape (`n_calibration_`,)
        Confidences of the calibration rows, in ascending order, each lowered by a
        relative 1e-9, so that the same row is never below itself by rounding.
    n_calibration_ : int
        Number of calibration rows. Rows whose label is not in `classes_`, which the
        estimator itself set aside as OOD, are not among them.
    threshold_ : float
        Smallest confidence, as given by `score_samples`, that is accepted: one of
        `calibration_scores_`.

    See Also
    --------
    confident_clf.metrics.ood_report : Measures a confidence on ID and OOD samples.

    Notes
    -----
    With n calibration rows the threshold is the k-th smallest of their confidences,
    k = (n + 1) - ceil((n + 1) * target_tpr). A sample from the same distribution is
    accepted with probability 1 - k / (n + 1), which is `target_tpr` or more, for every
    n; ties only add to it. The probability is over draws of the calibration rows too:
    given these, the share accepted scatters by about sqrt(t * (1 - t) / n) around
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
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator, *, target_tpr=0.95, method=None, cv=0.2, random_state=None
    ):
        self.estimator = estimator
        self.target_tpr = target_tpr
        self.method = method
        self.cv = cv
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
            If the estimator lacks what the score is computed from.
        ValueError
            If the rows are too few for `target_tpr`, a confidence is NaN, or, with a
            frozen estimator, a label is not in its classes.
        """
        check_method(self.estimator, self.method)
        X, y = indexable(X, y)
        if self._is_frozen():
            estimator, scores = self._score_frozen(X, y, params)
        else:
            estimator, scores = self._fit_and_score(X, y, params)
        self._check_enough(len(scores))
        scores = np.sort(lower(scores))
        threshold = conformal_threshold(scores, self.target_tpr)
        validate_data(self, X, skip_check_array=True)  # sets n_features_in_
        self.estimator_ = estimator
        self.calibration_scores_ = scores
        self.n_calibration_ = len(scores)
        self.threshold_ = threshold
        return self

    def _score_frozen(self, X, y, params):
        """Return the estimator as it is, and the confidences of all rows."""
        if params:
            raise ValueError(
                f"fit got {', '.join(params)}, but a FrozenEstimator is not fitted "
                "again. Leave them out, or pass the estimator without FrozenEstimator."
            )
        check_is_fitted(self.estimator)
        self._check_enough(_num_samples(X))
        n_unknown = np.sum(~is_known(self.estimator, y, _num_samples(X)))
        if n_unknown:
            raise ValueError(
                f"{n_unknown} of {len(y)} rows have a label in y that is not among "
                "the classes_ of the frozen estimator, so they are out-of-distribution "
                "and cannot calibrate. Drop these rows."
            )
        return self.estimator, id_confidence(self.estimator, X, self.method)

    def _fit_and_score(self, X, y, params):
        """Return a fitted estimator, and confidences of rows held out of fitting."""
        split_params = {}
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            params, split_params = routed.estimator.fit, routed.splitter.split
        splits = list(self._splitter(y).split(X, y, **split_params))
        self._check_enough(sum(len(held_out) for _, held_out in splits))
        scores = []
        for train, held_out in splits:
            estimator = to_be_fitted(self.estimator, self.method)
            X_train, y_train = _safe_split(estimator, X, y, train)
            estimator.fit(X_train, y_train, **params_of_rows(X, params, train))
            X_held_out, y_held_out = _safe_split(estimator, X, y, held_out, train)
            confidence = id_confidence(estimator, X_held_out, self.method)
            scores.append(confidence[is_known(estimator, y_held_out, len(confidence))])
        if not self._holds_out_a_share():
            estimator = to_be_fitted(self.estimator, self.method).fit(X, y, **params)
        return estimator, np.concatenate(scores)

    def _is_frozen(self):
        """Return whether the estimator comes fitted, and all rows calibrate."""
        return isinstance(self.estimator, FrozenEstimator)

    def _holds_out_a_share(self):
        """Return whether rows are held out once, as a share, not in folds."""
        is_share = isinstance(self.cv, Real) and not isinstance(self.cv, Integral)
        return is_share and not self._is_frozen()

    def _splitter(self, y):
        """Return the splitter that `cv` stands for."""
        if self._holds_out_a_share():
            return ShuffleSplit(1, test_size=self.cv, random_state=self.random_state)
        return check_cv(self.cv, y=y, classifier=is_classifier(self.estimator))

    def _check_enough(self, n):
        """Raise ValueError if n rows are too few to calibrate."""
        share = self.cv if self._holds_out_a_share() else 1
        check_enough(n, self.target_tpr, share)

    def predict(self, X):
        """Return 1 for samples taken to be in-distribution, -1 for others.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), int
            1 where `decision_function` is 0 or more, else -1.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

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
            ``score_samples(X) - threshold_``, higher for in-distribution.
        """
        # The difference of two floats is 0 only if they are equal, so no sign is lost.
        return self.score_samples(X) - self.threshold_

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
        confidence = id_confidence(self.estimator_, X, self.method)
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
            (1 + `n_calibration_`); small for out-of-distribution.
        """
        scores = self.score_samples(X)
        not_higher = np.searchsorted(self.calibration_scores_, scores, side="right")
        return (1 + not_higher) / (1 + self.n_calibration_)

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
