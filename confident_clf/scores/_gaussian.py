# SPDX-License-Identifier: BSD-3-Clause
"""Scores of features by Gaussian distributions of the classes."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from confident_clf.scores._blocks import times
from confident_clf.scores._features import FeatureScore


def mahalanobis(
    features: ArrayLike, means: ArrayLike, whitening: ArrayLike
) -> np.ndarray:
    """Score by the squared Mahalanobis distance to the nearest class mean.

    Introduced in [1]_. With the means mu_k of the classes and the covariance C within
    classes, the score of features f is::

        min_k (f - mu_k)^T C^{-1} (f - mu_k).

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    means : array-like of shape (n_classes, n_features)
        Mean of the training features in each class.
    whitening : array-like of shape (n_features, n_features)
        A matrix W for which W W^T is the inverse of the covariance within classes.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        0 or more, higher for out-of-distribution.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee and J. Shin, "A Simple Unified Framework for Detecting
       Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018, eq. (2).

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.scores import mahalanobis
    >>> means, covariance = [[0.0, 0.0], [8.0, 0.0]], np.diag([1.0, 4.0])
    >>> whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    >>> mahalanobis([[1.0, 0.0], [8.0, 4.0]], means, whitening).tolist()
    [1.0, 4.0]
    """
    features, means, whitening = _as_float64(features, means, whitening)
    # Subtract first: distances may be much smaller than features.
    means_white = times(means - means[0], whitening)
    white = times(features - means[0], whitening)
    return cdist(white, means_white, "sqeuclidean").min(axis=1)


def rmd(
    features: ArrayLike,
    means: ArrayLike,
    whitening: ArrayLike,
    mean: ArrayLike,
    whitening_of_all: ArrayLike,
) -> np.ndarray:
    """Score by the Mahalanobis distance relative to the training data as a whole.

    Introduced in [1]_. With the means mu_k of the classes and the covariance C within
    classes, and the mean mu_0 and covariance C_0 of all training samples, the score of
    features f is::

        min_k (f - mu_k)^T C^{-1} (f - mu_k) - (f - mu_0)^T C_0^{-1} (f - mu_0).

    A deviation that is just as unusual in the training data as a whole does not count.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    means : array-like of shape (n_classes, n_features)
        Mean of the training features in each class.
    whitening : array-like of shape (n_features, n_features)
        A matrix W for which W W^T is the inverse of the covariance within classes.
    mean : array-like of shape (n_features,)
        Mean of all training samples.
    whitening_of_all : array-like of shape (n_features, n_features)
        The same for the covariance around `mean`.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Any real number, higher for out-of-distribution.

    References
    ----------
    .. [1] Ren, Fort, Liu, Roy, Padhy and Lakshminarayanan, "A Simple Fix to Mahalanobis
       Distance for Improving Near-OOD Detection", 2021, eq. (3).

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.scores import rmd
    >>> means, within, overall = [[-2.0], [2.0]], np.eye(1), np.eye(1) / np.sqrt(5)
    >>> rmd([[2.0], [0.0]], means, within, [0.0], overall).round(3).tolist()
    [-0.8, 4.0]
    """
    of_all = mahalanobis(features, np.atleast_2d(mean), whitening_of_all)
    return mahalanobis(features, means, whitening) - of_all


def _as_float64(*arrays: ArrayLike) -> list[np.ndarray]:
    """Return arrays of float64."""
    return [np.asarray(array, dtype=np.float64) for array in arrays]


# Relative to the mean variance, and too small to change the distance of known samples.
_LEAST_VARIANCE = 1e-6


def class_means(features: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each class in y, and each sample minus the mean of its class.

    The means are in the order of the sorted classes.
    """
    classes, index = np.unique(y, return_inverse=True)
    means = np.stack([features[index == k].mean(axis=0) for k in range(len(classes))])
    return means, features - means[index]


def whitening(residuals: np.ndarray) -> np.ndarray:
    """Return a matrix W for which W W^T is the inverse of the residuals' covariance.

    Some directions may have no variance: units may never fire, features may always
    agree, and there may be fewer samples than features. These directions get a small
    variance, so that a sample that is unusual there is far away.
    """
    covariance = residuals.T @ residuals / len(residuals)
    mean_variance = np.trace(covariance) / len(covariance)
    if mean_variance == 0:
        return np.eye(len(covariance))
    variances, directions = eigh(covariance)
    variances = np.maximum(variances, 0) + _LEAST_VARIANCE * mean_variance
    return directions / np.sqrt(variances)


class Mahalanobis(FeatureScore):
    """Distance to the nearest class mean, by the covariance within classes.

    Introduced in [1]_. With the means mu_k of the classes and the covariance C within
    classes, the score of features f is::

        min_k (f - mu_k)^T C^{-1} (f - mu_k).

    See :func:`mahalanobis`. It uses the inputs of the last linear layer only, and does
    not perturb the samples. Do not use it for networks that were trained on
    out-of-distribution samples: these move the features of unknown samples to the
    origin, between the class means.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_features)
        Mean of each class.
    whitening_ : ndarray of shape (n_features, n_features)
        Makes the covariance within classes the identity. A millionth of the mean
        variance is added to every variance first.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee and J. Shin, "A Simple Unified Framework for Detecting
       Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import Mahalanobis
    >>> clf = ConfidentClassifier(ood_source=None, method=Mahalanobis())
    """

    def _learn(self, features: np.ndarray, y: np.ndarray) -> None:
        self.means_, residuals = class_means(features, y)
        self.whitening_ = whitening(residuals)

    def of_features(self, features: np.ndarray) -> np.ndarray:
        return mahalanobis(features, self.means_, self.whitening_)


class RMD(FeatureScore):
    """Mahalanobis distance relative to the training data as a whole.

    Introduced in [1]_. With the means mu_k of the classes and the covariance C within
    classes, and the mean mu_0 and covariance C_0 of all training samples, the score of
    features f is::

        min_k (f - mu_k)^T C^{-1} (f - mu_k) - (f - mu_0)^T C_0^{-1} (f - mu_0).

    See :func:`rmd`.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_features)
        Mean of each class.
    whitening_ : ndarray of shape (n_features, n_features)
        Makes the covariance within classes the identity.
    mean_ : ndarray of shape (n_features,)
        Mean of all training samples.
    whitening_of_all_ : ndarray of shape (n_features, n_features)
        Makes the covariance of all training samples the identity.

    References
    ----------
    .. [1] Ren, Fort, Liu, Roy, Padhy and Lakshminarayanan, "A Simple Fix to Mahalanobis
       Distance for Improving Near-OOD Detection", 2021.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import RMD
    >>> clf = ConfidentClassifier(ood_source=None, method=RMD())
    """

    def _learn(self, features: np.ndarray, y: np.ndarray) -> None:
        self.means_, residuals = class_means(features, y)
        self.whitening_ = whitening(residuals)
        self.mean_ = features.mean(axis=0)
        self.whitening_of_all_ = whitening(features - self.mean_)

    def of_features(self, features: np.ndarray) -> np.ndarray:
        return rmd(
            features,
            self.means_,
            self.whitening_,
            self.mean_,
            self.whitening_of_all_,
        )
