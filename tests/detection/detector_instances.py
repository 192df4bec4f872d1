# SPDX-License-Identifier: BSD-3-Clause
"""Detectors and open-set classifiers for scikit-learn's estimator checks."""

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from confident_clf import OODDetector, OpenSetClassifier
from confident_clf.scores import GEN


def detector_instances():
    """Return detectors over torch-free estimators, one for each way to calibrate.

    The data of the checks have 10 rows or more, which is why the target is low.
    """
    mixture = GaussianMixture(3, random_state=0, init_params="random_from_data")
    return [
        OODDetector(LogisticRegression(), target_tpr=0.5),
        OODDetector(LogisticRegression(), target_tpr=0.5, cv=3),
        OODDetector(LogisticRegression(), target_tpr=0.5, method=GEN(gamma=0.5)),
        OODDetector(mixture, target_tpr=0.5),
        OODDetector(FrozenEstimator(_density_of_norms()), target_tpr=0.5),
    ]


class OpenSetOfAnyLabels(OpenSetClassifier):
    """Open-set classifier for checks that fit on numbers, including -1, and on strings.

    No single `unknown_label` suits all of them.
    """

    def fit(self, X, y=None, **params):
        """Fit with -9 as the label, or "unknown" if the labels are strings."""
        self._validate_params()
        given = self.unknown_label
        is_text = any(
            isinstance(label, str) for label in np.asarray(y).ravel()[:1].tolist()
        )
        self.unknown_label = "unknown" if is_text else -9
        try:
            return super().fit(X, y, **params)
        finally:
            self.unknown_label = given


def open_set_instances():
    """Return open-set classifiers that give all training rows a class.

    The checks ask that `predict` be the largest column of `predict_proba`, which it is
    where a class is given. A full-grown tree is sure of everything.
    """
    tree = DecisionTreeClassifier(random_state=0)
    return [
        OpenSetOfAnyLabels(tree, target_tpr=0.5),
        OpenSetOfAnyLabels(tree, target_tpr=0.5, cv=3),
    ]


class Norm(FunctionTransformer):
    """Return the norm of each row; a class, since a function's repr has an address."""

    def __init__(self):
        super().__init__(
            np.linalg.norm, validate=True, kw_args={"axis": 1, "keepdims": True}
        )


def _density_of_norms():
    """Return a fitted pipeline for rows of any width: the density of their norm.

    The data of the checks have many widths, and a frozen estimator cannot adapt.
    FunctionTransformer has no state to be fitted, so it takes all.
    """
    norms = np.random.default_rng(0).chisquare(3, size=(50, 1))
    return Pipeline([("norm", Norm()), ("density", GaussianMixture().fit(norms))])
