# SPDX-License-Identifier: BSD-3-Clause
"""ConfidentClassifierCV: choose beta without out-of-distribution data."""

from collections.abc import Callable, Sequence
from math import ceil
from numbers import Integral
from typing import Any, Self

import numpy as np
from joblib.parallel import get_active_backend
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import StratifiedShuffleSplit, check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from confident_clf._betas import (
    best_beta,
    check_betas,
    prefix_of_beta,
    score_betas,
)
from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._confidence import (
    check_method,
    id_confidence,
    to_be_fitted,
)
from confident_clf._training._ranks import progress_of
from confident_clf.metrics import make_ood_scorer
from confident_clf.model_selection import LeaveClassesOut
from confident_clf.scores import OODScore
from confident_clf.scores._make_score import SCORES, Method
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._errstate import usual_errors
from confident_clf.utils._labels import check_labels, labels_to_learn
from confident_clf.utils._params import params_named, resolve_beta
from confident_clf.utils._progress import progress_bar
from confident_clf.utils._routing import (
    fit_and_split_router,
    refuse_groups,
    route_fit_params,
)
from confident_clf.utils._seeding import draw_seed
from confident_clf.utils._sklearn import (
    HasMethods,
    StrOptions,
    _fit_context,
    _safe_indexing,
    available_if,
)
from confident_clf.utils._types import RandomState, SamplesLike

# A class with fewer rows than this is not held out.
_MIN_ROWS = 4


def _has(name: str) -> Callable:
    """Return a function that checks whether the estimator inside has a method."""
    return lambda self: hasattr(
        getattr(self, "best_estimator_", self._base_estimator()), name
    )


class ConfidentClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier that chooses its beta without out-of-distribution (OOD) samples.

    A third of the classes at a time plays the part of unknown samples. A classifier is
    trained without them. For every value of beta, a copy of it continues with that beta
    for a few epochs. The copy is scored by how well it separates new rows of its own
    classes from rows of the held-out classes, and from rows with permuted values. The
    best beta then trains the classifier on all rows. Scoring costs less than three such
    fits, for up to `max_epochs` betas.

    Parameters
    ----------
    estimator : estimator or None, default=None
        A :class:`ConfidentClassifier`, or an estimator that holds one, such as a
        pipeline. Exactly one estimator in it must have the parameters `beta`,
        `max_epochs` and `warm_start`. Its beta is searched; its own value of beta
        trains the classifiers that the copies are made of. None means
        ``ConfidentClassifier()``.
    betas : array-like of shape (n_betas,), \
            default=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
        The values to choose from, all above 0.
    cv : int, splitter, iterable or None, default=None
        The training and test parts that betas are scored on, as in
        :func:`sklearn.model_selection.check_cv`. None holds out a third of the n
        classes at a time, rounded up, until each class was held out once:
        ``LeaveClassesOut(ceil(n / 3), test_size=0.3)``. Classes with fewer than four
        rows do not count: their rows are in all training parts and in no test part. If
        fewer than three classes are left, no class is held out. There are then two
        stratified splits, each training on half of the rows of every class that has two
        or more. With ``cv=None``, all training parts also contain the rows labelled
        `ood_label`, if the estimator has that parameter.
    scoring : str, callable or None, default=None
        The score to choose by, where greater is better, as in
        :func:`sklearn.model_selection.cross_val_score`. None means
        ``make_ood_scorer(X_ood="permuted")``: the AUROC of known rows against rows of
        held-out classes and known rows with the values of each feature permuted. If X
        is sparse or has no features, only held-out classes count.
    method : {"msp", "odin", "energy", "max_logit", "entropy", "margin", "gen", \
            "react", "knn", "mahalanobis", "rmd", "vim"}, OODScore or None, default=None
        Score to detect by, as in :class:`OODDetector`. None means the estimator's
        own.
    n_jobs : int or None, default=None
        Number of fits at once, as in scikit-learn. Leave it at 1 on a GPU.
    random_state : int, RandomState instance or None, default=None
        Draws the splits of ``cv=None``, and seeds the estimator if its own
        `random_state` is None. All betas are trained with the same random numbers.

    Attributes
    ----------
    beta_ : float
        The chosen beta.
    best_score_ : float
        Mean score of `beta_` over the splits.
    cv_results_ : dict of str to ndarray of shape (n_betas,)
        "param_beta" in ascending order, "mean_test_score", "std_test_score",
        "split0_test_score" and so on.
    best_estimator_ : estimator
        The estimator with `beta_`, fitted on all rows.
    classes_ : ndarray of shape (n_classes,)
        Classes of `best_estimator_`.
    n_features_in_ : int
        Number of features seen during `fit`, for two-dimensional X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`, where all are strings.

    See Also
    --------
    confident_clf.model_selection.LeaveClassesOut : The splits, for any search.

    Notes
    -----
    The copies continue for ``max_epochs // n_betas`` epochs each, with a whole
    `lr_schedule`. Training a few epochs from the start would cost no more, but may
    mislead: on scikit-learn's digits, large values of beta look better early in
    training than in the end. A halving search over epochs chose too large ones.

    Of betas with equal scores, the one nearest in ratio to the estimator's own is
    taken, then the smaller one. So beta stays as it was if the data do not favour any.

    To search other parameters too, or to watch the accuracy as well, use
    :class:`~sklearn.model_selection.GridSearchCV` with the same splits. A `checkpoint`
    of the estimator is only used for the last fit.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from confident_clf import ConfidentClassifier, ConfidentClassifierCV
    >>> X, y = make_blobs(200, centers=4, random_state=0)
    >>> clf = ConfidentClassifier(ood_source="noise", lr=0.01, max_epochs=10)
    >>> search = ConfidentClassifierCV(clf, betas=[0.03, 0.3, 3], random_state=0)
    >>> search = search.fit(X, y)
    >>> search.beta_ in search.betas
    True
    >>> search.best_estimator_.beta == search.beta_
    True
    >>> search.predict_proba(X).shape
    (200, 4)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods("fit"), None],
        "betas": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "method": [StrOptions(set(SCORES)), OODScore, list, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        betas: Sequence[float] | str = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
        cv: Any = None,
        scoring: Any = None,
        method: Method = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ):
        self.estimator = estimator
        self.betas = betas
        self.cv = cv
        self.scoring = scoring
        self.method = method
        self.n_jobs = n_jobs
        self.random_state = random_state

    @usual_errors
    @_fit_context(
        # The parameters of estimator are not validated yet.
        prefer_skip_nested_validation=False
    )
    def fit(self, X: SamplesLike, y: ArrayLike, **params: Any) -> Self:
        """Choose beta, then fit the classifier with it.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, as the estimator takes them.
        y : array-like of shape (n_samples,)
            Labels.
        **params : dict
            Parameters of the estimator's `fit`, and `groups` for the splitter `cv`, as
            in :meth:`OODDetector.fit`. Those with one value per row are split with the
            rows; `X_ood`, `X_val` and `y_val` never are.

        Returns
        -------
        ConfidentClassifierCV
            The fitted classifier. If an error is raised, it is what it was before.

        Raises
        ------
        TypeError
            Unless exactly one estimator in `estimator` has the parameters `beta`,
            `max_epochs` and `warm_start`.
        ValueError
            Before any training, if `betas` are not numbers above 0, or if there is only
            one class. Also as in `fit` of the estimator.
        """
        betas = check_betas(self.betas)
        X, labels = indexable(X, to_numpy(check_labels(y)))
        prefix = prefix_of_beta(self._base_estimator())
        seed = draw_seed(self.random_state)
        estimator = self._to_be_fitted(seed)
        params, split_params = route_fit_params(self, params)
        splits = self._splits(estimator, X, labels, seed, split_params)
        scorer = self._scorer(estimator, X, labels, splits)
        searched = _to_be_searched(estimator, prefix)
        own_params = estimator.get_params()
        jobs = [
            delayed(score_betas)(
                searched, prefix, betas, X, labels, params, train, test, scorer
            )
            for train, test in splits
        ]
        with progress_of(own_params.get(f"{prefix}verbose")):
            scores = _run(jobs, self.n_jobs)
        results, name = _results(betas, np.array(scores)), f"{prefix}beta"
        own = resolve_beta(own_params[name], own_params.get(f"{prefix}ood_source"))
        best = best_beta(betas, results["mean_test_score"], own)
        estimator.set_params(**{name: betas[best].item()}).fit(X, labels, **params)
        validate_data(self, X, skip_check_array=True)  # sets n_features_in_
        self.beta_ = betas[best].item()
        self.best_score_ = results["mean_test_score"][best].item()
        self.cv_results_ = results
        self.best_estimator_ = estimator
        return self

    def _base_estimator(self) -> BaseEstimator:
        """Return the estimator that is searched, not fitted."""
        return ConfidentClassifier() if self.estimator is None else self.estimator

    def _to_be_fitted(self, seed: int) -> BaseEstimator:
        """Return a clone of the estimator, with the seed where it has none."""
        base = self._base_estimator()
        check_method(base, self.method)
        estimator = to_be_fitted(base, self.method)
        random_states = params_named(estimator, "random_state")
        unset = {name: seed for name, value in random_states.items() if value is None}
        return estimator.set_params(**unset)

    def _splits(
        self,
        estimator: BaseEstimator,
        X: SamplesLike,
        y: np.ndarray,
        seed: int,
        split_params: dict,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the rows of the training and test parts."""
        labels = labels_to_learn(estimator, y)
        if len(labels) < 2:
            raise ValueError(
                "ConfidentClassifierCV needs at least two classes; y has only one "
                f"class, {labels.tolist()}."
            )
        if self.cv is not None:
            cv = check_cv(self.cv, y, classifier=True)
            return list(cv.split(X, y, **split_params))
        refuse_groups(split_params, None, "cv=GroupKFold()")
        return _default_splits(y, labels, seed)

    def _scorer(
        self, estimator: BaseEstimator, X: SamplesLike, y: np.ndarray, splits: list
    ) -> Callable:
        """Return the scorer that `scoring` describes."""
        if self.scoring is not None:
            return check_scoring(estimator, scoring=self.scoring)
        # Held-out classes resemble the known ones, so alone they do not test samples
        # that are far away. Texts in a list have no features to permute.
        has_features = not issparse(X) and np.ndim(_safe_indexing(X, [0])) > 1
        X_ood = "permuted" if has_features else None
        holds_out = (np.setdiff1d(y[test], y[train]).size for train, test in splits)
        if not has_features and not all(holds_out):
            raise ValueError(
                "Nothing can serve as out-of-distribution samples: no class is held "
                "out (this needs three classes with at least four rows each), and X is "
                "sparse or has no features to permute. Pass "
                "scoring=make_ood_scorer(X_ood=...)."
            )
        return make_ood_scorer(X_ood=X_ood, method=self.method)

    @usual_errors
    def predict(self, X: SamplesLike) -> np.ndarray:
        """Return the class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X)

    @available_if(_has("predict_proba"))
    @usual_errors
    def predict_proba(self, X: SamplesLike) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X)

    @available_if(_has("decision_function"))
    @usual_errors
    def decision_function(self, X: SamplesLike) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            As the estimator gives them.
        """
        check_is_fitted(self)
        return self.best_estimator_.decision_function(X)

    @usual_errors
    def score_samples(self, X: SamplesLike, method: Method = None) -> np.ndarray:
        """Return a score that is higher for in-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        method : str, OODScore or None, default=None
            As in the constructor. None takes the constructor's.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            The confidence of `best_estimator_`.
        """
        check_is_fitted(self)
        method = self.method if method is None else method
        return id_confidence(self.best_estimator_, X, method)

    def ood_score(self, X: SamplesLike, method: Method = None) -> np.ndarray:
        """Return a score that is higher for out-of-distribution samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        method : str, OODScore or None, default=None
            As in the constructor. None takes the constructor's.

        Returns
        -------
        ndarray of shape (n_samples,), float64
            The negative :meth:`score_samples`.
        """
        return -self.score_samples(X, method)

    @available_if(_has("sample_ood"))
    def sample_ood(self, n: int) -> np.ndarray:
        """Return samples of the fitted source.

        Parameters
        ----------
        n : int
            Number of samples, at least 1.

        Returns
        -------
        ndarray of shape (n, ...)
            As :meth:`ConfidentClassifier.sample_ood`.
        """
        check_is_fitted(self)
        return self.best_estimator_.sample_ood(n)

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the fitted estimator."""
        return self.best_estimator_.classes_

    def get_metadata_routing(self) -> MetadataRouter:
        """Return how metadata given to `fit` are routed.

        Returns
        -------
        MetadataRouter
            To the estimator's `fit` and the splitter's `split`.
        """
        return fit_and_split_router(self, self._base_estimator(), self.cv)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._base_estimator())
        tags.input_tags = inner.input_tags
        if inner.classifier_tags is not None:
            tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
        return tags


def _to_be_searched(estimator: BaseEstimator, prefix: str) -> BaseEstimator:
    """Return a clone for many fits.

    It has no checkpoint, which can only serve one fit, and no bars of its own.
    """
    params = estimator.get_params()
    unset: dict = (
        {f"{prefix}checkpoint": None} if f"{prefix}checkpoint" in params else {}
    )
    if params.get(f"{prefix}verbose") == 1:
        unset[f"{prefix}verbose"] = 0
    return clone(estimator).set_params(**unset)


def _run(jobs: list, n_jobs: int | None) -> list:
    """Return the results of jobs of joblib; a bar counts them as they come."""
    backend, _ = get_active_backend()
    # Ray's gives all of them at once.
    return_as = "generator" if backend.supports_return_generator else "list"
    results = []
    with progress_bar("search for beta, split", 0, len(jobs)) as advance:
        for result in Parallel(n_jobs=n_jobs, return_as=return_as)(jobs):
            results.append(result)
            advance({})
    return results


def _default_splits(y: np.ndarray, labels: np.ndarray, seed: int) -> list:
    """Return the rows of training and test parts; rare classes are trained on only.

    The training parts have 1.4 times the rows of y at most.
    """
    counts = np.array([np.sum(y == label) for label in labels])
    common = labels[counts >= _MIN_ROWS]
    if len(common) >= 3:
        n_held_out = ceil(len(common) / 3)
        cv = LeaveClassesOut(n_held_out, test_size=0.3, random_state=seed)
    else:
        common = labels[counts >= 2]
        cv = StratifiedShuffleSplit(2, test_size=0.5, random_state=seed)
    if not len(common):
        raise ValueError(
            f"Each of the {len(labels)} classes has one row only, so no beta can be "
            "tested. Add rows, or choose beta yourself with a ConfidentClassifier."
        )
    is_common = np.isin(y, common)
    rows, others = np.flatnonzero(is_common), np.flatnonzero(~is_common)
    return [
        (np.append(rows[train], others), rows[test])
        for train, test in cv.split(rows, y[rows])
    ]


def _results(betas: np.ndarray, scores: np.ndarray) -> dict:
    """Return `cv_results_` for scores of shape (n_splits, n_betas)."""
    return {
        "param_beta": betas,
        "mean_test_score": scores.mean(axis=0),
        "std_test_score": scores.std(axis=0),
        **{f"split{i}_test_score": score for i, score in enumerate(scores)},
    }
