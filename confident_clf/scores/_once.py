# SPDX-License-Identifier: BSD-3-Clause
"""A view of a network that keeps its results, and a classifier with such a view."""

from collections.abc import Callable
from copy import copy

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted


class ComputedOnce:
    """View of a network that keeps the outputs and features of one array.

    Who asks for features gets the outputs by the same pass. Set `with_features` if the
    outputs are asked for first.
    """

    def __init__(self, network, X: np.ndarray, with_features: bool = False):
        self._network = network
        self._X = X
        self._kept: dict = {}
        self.with_features = with_features

    def is_of(self, X: np.ndarray) -> bool:
        """Return whether this is the array whose results are kept."""
        return X is self._X

    def __getattr__(self, name: str):
        return getattr(self._network, name)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return self._of("outputs", self._network, X)

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the features."""
        return self._of("features", self._network.features, X)

    def _of(self, name: str, function: Callable, X: np.ndarray) -> np.ndarray:
        """Return a result for X, which is kept if X is the array of this view."""
        if X is not self._X:
            return function(X)
        both = getattr(self._network, "outputs_and_features", None)
        wanted = self.with_features or name == "features"
        if not self._kept and wanted and both is not None:
            self._kept["outputs"], self._kept["features"] = both(X)
        if name not in self._kept:
            self._kept[name] = function(X)
        return self._kept[name]


def sent_once(classifier: BaseEstimator, X: ArrayLike) -> BaseEstimator:
    """Return a copy of a fitted classifier that sends X through its network once.

    X is checked here. What the copy is asked about this very object is computed from
    results that it keeps; the classifier itself stays as it is.
    """
    check_is_fitted(classifier)
    samples = classifier._validate(X)
    view = ComputedOnce(classifier._view(classifier.net_), samples)
    twin = copy(classifier)
    twin._view = lambda net: view
    twin._validate = lambda Z: samples if Z is X else classifier._validate(Z)
    return twin
