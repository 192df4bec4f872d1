# SPDX-License-Identifier: BSD-3-Clause
"""Outlier detectors of scikit-learn, on the inputs of the network, as scores."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from confident_clf.scores._score import OODScore


class InputScore(OODScore):
    """An outlier detector on the inputs of the network.

    The score of a sample x is::

        -score_samples(x)

    of the detector, fitted on the training samples as the network sees them, without
    their labels. Images become rows of pixels.

    Parameters
    ----------
    detector : estimator
        Any estimator whose `score_samples` is higher for inliers, as of scikit-learn's
        outlier detectors, :class:`~sklearn.mixture.GaussianMixture` and
        :class:`~sklearn.neighbors.KernelDensity`. It is cloned. The clone of a
        :class:`~sklearn.neighbors.LocalOutlierFactor` gets ``novelty=True``.

    Attributes
    ----------
    detector_ : estimator
        The fitted detector.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import InputScore
    >>> clf = ConfidentClassifier(method=InputScore(IsolationForest(random_state=0)))
    """

    needs_fit = True

    def __init__(self, detector: BaseEstimator):
        self.detector = detector

    def fit(self, network: Any, X: np.ndarray, y: np.ndarray) -> Self:
        """Fit a clone of the detector on the training samples."""
        detector = clone(self.detector)
        if "novelty" in detector.get_params():
            detector.set_params(novelty=True)
        self.detector_ = detector.fit(_rows(network, X))
        return self

    def ood_score(self, network: Any, X: np.ndarray) -> np.ndarray:
        """Return the score of each sample."""
        check_is_fitted(self)
        return -np.asarray(self.detector_.score_samples(_rows(network, X)), np.float64)


def is_detector(value) -> bool:
    """Return whether a value can be the detector of an `InputScore`."""
    if not isinstance(value, BaseEstimator) or isinstance(value, type):
        return False
    # LocalOutlierFactor hides the method unless it is for new samples.
    return hasattr(value, "score_samples") or "novelty" in value.get_params()


def _rows(network, X: np.ndarray) -> np.ndarray:
    """Return samples as the network sees them, in rows of float64."""
    parts = [batch.reshape(len(batch), -1) for batch in network.batches(X)]
    return np.concatenate(parts).astype(np.float64)
