# SPDX-License-Identifier: BSD-3-Clause
"""OODDetector: a threshold on a confidence, with a guarantee."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
)
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from confident_clf._detection._calibration import calibrate, is_frozen
from confident_clf._detection._confidence import id_confidence
from confident_clf._detection._conformal import (
    conformal_p_values,
    conformal_rank,
    conformal_threshold,
    discoveries,
)
from confident_clf._detection._decisions import (
    Decisions,
    confidence_and_labels,
    p_values_by_group,
)
from confident_clf._detection._reservoir import can_stream, check_threshold, go_on
from confident_clf.scores import OODScore
from confident_clf.scores._make_score import SCORES, Method
from confident_clf.utils._errstate import usual_errors
from confident_clf.utils._fitted import check_fitted
from confident_clf.utils._labels import class_index
from confident_clf.utils._routing import fit_and_split_router
from confident_clf.utils._sklearn import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _fit_context,
)
from confident_clf.utils._types import RandomState, SamplesLike


class OODDetector(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Detector of out-of-distribution samples with a guaranteed true positive rate.

    Fits an estimator and sets a threshold on its confidence. A new in-distribution (ID)
    sample is accepted with a probability of at least `target_tpr`. This is the
    threshold-based detector of [1]_ with the threshold of split-conformal prediction
    [2]_, [3]_. It needs no out-of-distribution (OOD) samples.

    Parameters
    ----------
    estimator : estimator
        Any estimator with ``ood_score``, ``score_samples``, ``predict_proba`` or
        ``decision_function``: a classifier, a density, an outlier detector, or a
        pipeline that ends in one. A fitted one, ``FrozenEstimator(estimator)``, is not
        fitted again. Then all rows calibrate, so pass rows it was not trained on.
    target_tpr : float, default=0.95
        Probability to accept an ID sample, between 0 and 1.
    method : {"msp", "odin", "energy", "max_logit", "entropy", "margin", "gen", \
            "react", "knn", "mahalanobis", "rmd", "vim"}, OODScore or None, default=None
        Score to detect by. None takes the first of the methods named under `estimator`
        that it has. "odin", "react", "knn", "mahalanobis", "rmd" and "vim" need a
        :class:`ConfidentClassifier`, alone or as the last step of a pipeline. All of
        these except "odin" are fitted on the training rows of `estimator_`. A frozen
        classifier must have been fitted with the same method, because the rows that
        calibrate cannot fit a score too.
    cv : float, int, splitter, iterable or None, default=0.2
        Where the rows that calibrate come from:

        - float: this share of the rows is drawn at random and held out. `estimator` is
          fitted on the others. Only this gives the guarantee, or a frozen estimator
          that has not seen the rows.
        - int, splitter or iterable, as in :func:`sklearn.model_selection.check_cv`:
          every row is scored by an estimator fitted without it, and `estimator_` is
          fitted on all rows. This wastes no rows. It has no finite-sample guarantee,
          because `estimator_` itself scored none of the calibration rows. None means 5
          folds.
    per_class : bool, default=False
        Whether each class has its own threshold. Then, for every class, the ID samples
        predicted as that class are accepted with a probability of at least
        `target_tpr`. Otherwise some classes may be rejected more often than others.
        Needs a classifier, and enough calibration rows of every class.
    reservoir_size : int, default=1000
        How many of the rows that `partial_fit` holds out are kept to calibrate with.
        `fit` keeps none.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out share of a float `cv`. Pass an int for the same result each
        time.

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
        Confidences of the calibration rows, in ascending order. Each is lowered by a
        relative 1e-9, so that no row falls below its own score by rounding. With
        `per_class`, a list with the rows predicted as each class.
    n_calibration_ : int or ndarray of shape (n_classes,)
        Number of calibration rows; with `per_class`, of each class. Rows that the
        estimator itself set aside as OOD do not count: their label is not in
        `classes_`.
    threshold_ : float or ndarray of shape (n_classes,)
        Smallest confidence, as given by `score_samples`, that is accepted: one of
        `calibration_scores_`; with `per_class`, one for each class. Missing as long as
        `partial_fit` has held out too few rows.
    uncalibrated_classes_ : ndarray
        Classes that were too rare to calibrate with; usually empty. The guarantee does
        not hold for samples of these.

    See Also
    --------
    OpenSetClassifier : Predicts a class, or that a sample is of no known class.
    confident_clf.metrics.ood_report : Measures a confidence on ID and OOD samples.

    Notes
    -----
    With n calibration rows the threshold is the k-th smallest of their confidences,
    where k = (n + 1) - ceil((n + 1) * target_tpr). A sample from the same distribution
    is accepted with probability 1 - k / (n + 1), which is `target_tpr` or more, for
    every n. Ties only raise it. The probability is also over draws of the calibration
    rows. For given rows, the accepted share has the Beta distribution with parameters
    n + 1 - k and k. It scatters by about sqrt(t * (1 - t) / n) around t = `target_tpr`.
    If the estimator has `classes_`, the guarantee is for samples of these.

    The rows of a float `cv` are not stratified. Fixing how many of each class calibrate
    would end the guarantee: a class too rare to be drawn could be rejected entirely.
    If all rows of a class are drawn, the classifier would not learn it. These rows are
    trained on instead, none of them calibrates, and a warning names the class. The
    guarantee is then for samples of the other classes. For these it holds as before,
    because which rows move does not depend on theirs.

    This is not an :class:`~sklearn.base.OutlierMixin`, because outlier detectors are
    fitted without labels. `predict` and `decision_function` have the same meaning.

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
        "method": [StrOptions(set(SCORES)), OODScore, list, None],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "per_class": ["boolean"],
        "reservoir_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    # These are for the caller, not for routing.
    __metadata_request__predict = {"fdr": UNUSED}
    __metadata_request__partial_fit = {"classes": UNUSED}

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        target_tpr: float = 0.95,
        method: Method = None,
        cv: Any = 0.2,
        per_class: bool = False,
        reservoir_size: int = 1000,
        random_state: RandomState = None,
    ):
        self.estimator = estimator
        self.target_tpr = target_tpr
        self.method = method
        self.cv = cv
        self.per_class = per_class
        self.reservoir_size = reservoir_size
        self.random_state = random_state

    @usual_errors
    @_fit_context(
        # The parameters of estimator are not validated yet.
        prefer_skip_nested_validation=False
    )
    def fit(self, X: SamplesLike, y: ArrayLike | None = None, **params: Any) -> Self:
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
            one value per row are split with the rows; `X_ood`, `X_val` and `y_val`
            never are. `groups` go to the splitter `cv`, as in scikit-learn's searches.

        Returns
        -------
        OODDetector
            The fitted detector. If an error is raised, it is what it was before.

        Raises
        ------
        TypeError
            If the estimator lacks what the score is computed from, or with `per_class`
            is not a classifier.
        ValueError
            If there are too few rows for `target_tpr`, or too few of a class with
            `per_class`; if there are `groups` and `cv` is a float; if a confidence is
            NaN; or if a label is not among the classes of a frozen estimator.
        """
        estimator, groups, left_out = calibrate(self, X, y, params)
        self._keep(X, estimator, groups, left_out)
        self.__dict__.pop("_stream", None)
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
        """Train on a part of a batch, hold out the rest, and set the threshold anew.

        A share of `cv` of the rows, rounded up, is drawn at random and never trained
        on. The estimator's `partial_fit` gets the others. Of all rows that were held
        out so far, a random sample of at most `reservoir_size` is kept, in which each
        of them is equally likely. After every call it is scored by the estimator as it
        then is, and sets the threshold, by the rule of `fit`.

        Pass every row once: a row that is held out in one call and trained on in
        another would end the guarantee. It holds at any time, as long as the
        distribution of the stream does not change. If that changes, the threshold
        follows as the sample does, slowly. While there are too few rows for
        `target_tpr`, there are scores, but no decisions yet.

        After `fit`, the estimator is trained further, and calibration begins anew:
        `fit` does not keep its rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            A batch of samples, as the estimator takes them.
        y : array-like of shape (n_samples,) or None, default=None
            Labels, for estimators that need them.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels that will ever occur, for the first call. None means those of the
            first batch. Only for classifiers.
        **params : dict
            Parameters of the estimator's `partial_fit`, such as ``sample_weight``,
            split as in `fit`.

        Returns
        -------
        OODDetector
            The detector. If an error is raised, it is what it was before.

        Raises
        ------
        AttributeError
            If the estimator is frozen or does not have `partial_fit`, or if `cv` is not
            a float. ``hasattr(detector, "partial_fit")`` is then false.
        TypeError
            As in `fit`.
        ValueError
            If no row is left to train on; if a label is not among the classes; if
            `reservoir_size` has changed since the first call, or is too small for
            `target_tpr`; if a confidence is NaN.
        """
        estimator, groups, stream = go_on(self, X, y, classes, params)
        self._keep(X, estimator, groups, np.array([]))
        self._stream = stream
        return self

    def _keep(self, X, estimator, groups, left_out):
        """Keep the estimator, and thresholds if there are enough calibration rows."""
        sizes = [len(group) for group in groups]
        enough = min(conformal_rank(n, self.target_tpr) for n in sizes) > 0
        if enough:
            found = [conformal_threshold(group, self.target_tpr) for group in groups]
            thresholds = np.array(found) if self.per_class else found[0]
        validate_data(self, X, skip_check_array=True)  # sets n_features_in_
        self.estimator_ = estimator
        self.uncalibrated_classes_ = left_out
        self._method = self.method  # the thresholds are of its scores
        self.calibration_scores_ = groups if self.per_class else groups[0]
        self.n_calibration_ = np.array(sizes) if self.per_class else sizes[0]
        self.__dict__.pop("threshold_", None)
        if enough:
            self.threshold_ = thresholds

    @usual_errors
    def predict(self, X: SamplesLike, *, fdr: float | None = None) -> np.ndarray:
        """Return 1 for samples accepted as in-distribution, -1 for others.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        fdr : float or None, default=None
            None decides on each sample alone, by the threshold. A number between 0 and
            1 decides on the batch as a whole, by the procedure of Benjamini and
            Hochberg on `p_value`. In expectation over draws of calibration and new
            samples, at most a share of `fdr` of the samples called OOD is ID [1]_.
            Which samples are called OOD then depends on the whole batch, and
            `target_tpr` plays no role. No p-value is below 1 / (1 + `n_calibration_`),
            so a batch of m samples needs about m / (`fdr` * number of its OOD samples)
            calibration rows to find any.

        Returns
        -------
        ndarray of shape (n_samples,), int
            -1 for OOD, 1 for others. Without `fdr`, it is 1 where `decision_function`
            is 0 or more.

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

    def transform(self, X: SamplesLike) -> np.ndarray:
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

    @usual_errors
    def decision_function(self, X: SamplesLike) -> np.ndarray:
        """Return the confidence, shifted so that the threshold is 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            ``score_samples(X) - threshold_``, higher for in-distribution. With
            `per_class`, it is the threshold of the predicted class.
        """
        return self._above_threshold(*self._scores_and_labels(X, self._has_groups()))

    @usual_errors
    def score_samples(self, X: SamplesLike) -> np.ndarray:
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
        return self._scores_and_labels(X, with_labels=False)[0]

    def ood_score(self, X: SamplesLike) -> np.ndarray:
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

    @usual_errors
    def p_value(self, X: SamplesLike) -> np.ndarray:
        """Return the conformal p-value of each sample being in-distribution.

        For every alpha, the probability that an in-distribution sample has a p-value of
        alpha or less is at most alpha. `predict` is 1 exactly where the p-value is
        above 1 - `target_tpr`, if that difference is exact: in floats 1 - 0.9 is a
        little less than 0.1.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            (1 + number of calibration scores that are not higher) /
            (1 + `n_calibration_`). With `per_class`, only the calibration scores of the
            predicted class count. Small for out-of-distribution.
        """
        return self._p_values(*self._scores_and_labels(X, self._has_groups()))

    @usual_errors
    def decide(self, X: SamplesLike) -> Decisions:
        """Return class, decision, p-value and score of each sample, by one pass.

        The network of a :class:`ConfidentClassifier`, alone or as the last step of a
        pipeline or search, computes all of it at once; only the gradients and the
        changed samples of "odin" take passes of their own. Of other classifiers,
        `predict` and the method that the confidence comes from are called once each.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        Decisions
            A named tuple of arrays: `label`, the class that the estimator predicts,
            accepted or not, or None if it is not a classifier; `accepted`, whether
            `predict` is 1; `p_value`; `ood_score`. Its ``to_frame()`` is a table.

        See Also
        --------
        OpenSetClassifier.decide : Has `unknown_label` where a sample is not accepted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from confident_clf import OODDetector
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = LogisticRegression(max_iter=1000)
        >>> detector = OODDetector(clf, random_state=0).fit(X, y)
        >>> label, accepted, p_value, score = detector.decide(X[:2])
        >>> label.tolist(), accepted.tolist()
        ([0, 0], [True, True])
        """
        check_fitted(self, "estimator_")
        # Tags would say so too, but take as long as all the rest for a small network.
        has_labels = hasattr(self.estimator_, "classes_")
        scores, labels = self._scores_and_labels(X, has_labels)
        accepted = self._above_threshold(scores, labels) >= 0
        return Decisions(labels, accepted, self._p_values(scores, labels), -scores)

    def _scores_and_labels(
        self, X: SamplesLike, with_labels: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the confidences and, if they are needed, the predicted classes."""
        check_fitted(self, "estimator_")
        labels = None
        if with_labels:
            scores, labels = confidence_and_labels(self.estimator_, X, self._method)
        else:
            scores = id_confidence(self.estimator_, X, self._method)
        if not hasattr(self.estimator_, "n_features_in_"):
            # Estimators that have it compared X with the samples in fit themselves.
            validate_data(self, X, reset=False, skip_check_array=True)
        return scores, labels

    def _has_groups(self) -> bool:
        """Return whether each predicted class has its own threshold."""
        check_fitted(self, "estimator_")
        check_threshold(self)
        return np.ndim(self.threshold_) > 0

    def _above_threshold(self, scores: np.ndarray, labels: Any) -> np.ndarray:
        """Return by how much confidences are above their thresholds."""
        # The difference of two floats is 0 only if they are equal, so no sign is lost.
        if not self._has_groups():
            return scores - self.threshold_
        return scores - np.asarray(self.threshold_)[class_index(self.classes_, labels)]

    def _p_values(self, scores: np.ndarray, labels: Any) -> np.ndarray:
        """Return the conformal p-values of confidences."""
        calibration: Any = self.calibration_scores_
        if not self._has_groups():
            return conformal_p_values(calibration, scores)
        index = class_index(self.classes_, labels)
        return p_values_by_group(calibration, index, scores)

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the fitted estimator."""
        return self.estimator_.classes_

    @property
    def _n_features_out(self) -> int:
        """Number of columns of `transform`."""
        check_is_fitted(self)
        return 1

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata given to `fit` are routed.

        Returns
        -------
        MetadataRouter
            To the estimator's `fit` and the splitter's `split`.
        """
        return fit_and_split_router(self, self.estimator, self.cv)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags.required = inner.target_tags.required and not is_frozen(self)
        return tags
