# SPDX-License-Identifier: BSD-3-Clause
"""Confidences of rows that an estimator was not fitted on."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import check_is_fitted

from confident_clf.scores._response import check_method, id_confidence, to_be_fitted
from confident_clf.utils._conformal import check_enough, check_enough_per_class, lower
from confident_clf.utils._rows import is_known, labels_to_learn, params_of_rows
from confident_clf.utils._sklearn import (
    _num_samples,
    _routing_enabled,
    _safe_indexing,
    _safe_split,
)


class CalibrationMixin:
    """Fit an estimator, and score rows that it was not fitted on.

    For estimators with the parameters `estimator`, `target_tpr`, `method`, `cv`,
    `per_class` and `random_state`.
    """

    def _calibrate(self, X, y, params):
        """Return a fitted estimator, and sorted scores for each of its thresholds."""
        check_method(self.estimator, self.method)
        self._check_classifier()
        X, y = indexable(X, y)
        if self._is_frozen():
            estimator, scores, labels = self._score_frozen(X, y, params)
        else:
            estimator, scores, labels = self._fit_and_score(X, y, params)
        self._check_enough(len(scores))
        return estimator, self._group(estimator, lower(scores), labels)

    def _score_frozen(self, X, y, params):
        """Return the estimator, and confidences and predicted labels of all rows."""
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
        if y is not None and self.per_class:
            self._check_labels(self.estimator.classes_, y)
        return self.estimator, *self._score(self.estimator, X)

    def _fit_and_score(self, X, y, params):
        """Return a fitted estimator; confidences and predicted labels of others' rows.

        Those are rows held out of fitting the estimator that scores them.
        """
        split_params = {}
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            params, split_params = routed.estimator.fit, routed.splitter.split
        splits = list(self._splitter(y).split(X, y, **split_params))
        self._check_splits(y, [held_out for _, held_out in splits])
        scores, labels = [], []
        for train, held_out in splits:
            estimator = to_be_fitted(self.estimator, self.method)
            X_train, y_train = _safe_split(estimator, X, y, train)
            estimator.fit(X_train, y_train, **params_of_rows(X, params, train))
            X_held_out, y_held_out = _safe_split(estimator, X, y, held_out, train)
            confidence, predicted = self._score(estimator, X_held_out)
            known = is_known(estimator, y_held_out, len(confidence))
            scores.append(confidence[known])
            labels.append(predicted[known])
        if not self._holds_out_a_share():
            estimator = to_be_fitted(self.estimator, self.method).fit(X, y, **params)
        return estimator, np.concatenate(scores), np.concatenate(labels)

    def _score(self, estimator, X):
        """Return confidences, and with `per_class` predicted labels, else zeros."""
        confidence = id_confidence(estimator, X, self.method)
        if self.per_class:
            return confidence, estimator.predict(X)
        return confidence, np.zeros(len(confidence), dtype=np.intp)

    def _group(self, estimator, scores, labels):
        """Return the calibration scores, sorted, for each threshold."""
        if not self.per_class:
            return [np.sort(scores)]
        groups = [np.sort(scores[labels == label]) for label in estimator.classes_]
        sizes = [len(group) for group in groups]
        counts = dict(zip(estimator.classes_.tolist(), sizes, strict=True))
        check_enough_per_class(counts, self.target_tpr, "predicted")
        return groups

    def _check_classifier(self):
        """Raise TypeError if there can be no thresholds per class."""
        if self.per_class and not is_classifier(self.estimator):
            raise TypeError(
                "per_class=True needs a classifier; "
                f"{type(self.estimator).__name__} is none. Use per_class=False."
            )

    def _check_splits(self, y, held_out):
        """Raise ValueError if the rows held out are too few to calibrate."""
        self._check_enough(sum(map(len, held_out)))
        if self.per_class and y is not None:
            y = _safe_indexing(y, np.concatenate(held_out))
            self._check_labels(labels_to_learn(self.estimator, y), y)

    def _check_labels(self, classes, y):
        """Raise ValueError if a class has too few rows to calibrate."""
        y = np.ravel(y)
        counts = {label: int(np.sum(y == label)) for label in classes.tolist()}
        check_enough_per_class(counts, self.target_tpr, "labelled")

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
