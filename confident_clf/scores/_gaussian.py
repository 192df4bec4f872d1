# SPDX-License-Identifier: BSD-3-Clause
"""Scores of features under Gaussian distributions."""

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from confident_clf.scores._blocks import times
from confident_clf.scores._features import FeatureScore


def mahalanobis(features, means, whitening):
    """Score by the squared Mahalanobis distance to the nearest class mean.

    Due to [1]_.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    means : array-like of shape (n_classes, n_features)
        Their mean in each class.
    whitening : array-like of shape (n_features, n_features)
        A matrix W with W W^T the inverse of the covariance within classes.

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
    # Differences first: distances may be much smaller than features.
    means_white = times(means - means[0], whitening)
    white = times(features - means[0], whitening)
    return cdist(white, means_white, "sqeuclidean").min(axis=1)


def rmd(features, means, whitening, mean, whitening_of_all):
    """Score by the Mahalanobis distance relative to that of all classes together.

    Due to [1]_.

    What is unusual in every class alike, and so in the training data as a whole, does
    not count.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features.
    means : array-like of shape (n_classes, n_features)
        Their mean in each class.
    whitening : array-like of shape (n_features, n_features)
        A matrix W with W W^T the inverse of the covariance within classes.
    mean : array-like of shape (n_features,)
        Mean of all training samples.
    whitening_of_all : array-like of shape (n_features, n_features)
        The same for the covariance around that mean.

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


def _as_float64(*arrays):
    """Return arrays of float64."""
    return [np.asarray(array, dtype=np.float64) for array in arrays]


# In units of the mean variance: too little to change the distance of known samples.
_LEAST_VARIANCE = 1e-6


def class_means(features, y):
    """Return the means of the classes there are, and the residuals around them.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Features.
    y : ndarray of shape (n_samples,)
        Classes.

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        In the order of the sorted classes.
    residuals : ndarray of shape (n_samples, n_features)
        Each sample minus the mean of its class.
    """
    classes, index = np.unique(y, return_inverse=True)
    means = np.stack([features[index == k].mean(axis=0) for k in range(len(classes))])
    return means, features - means[index]


def whitening(residuals):
    """Return a matrix W with W W^T the inverse of the covariance of the residuals.

    Units that never fire, fewer samples than features and features that always agree
    leave directions without variance: these get a little, so that a sample that is
    unusual there is far away.

    Parameters
    ----------
    residuals : ndarray of shape (n_samples, n_features)
        Features minus their mean.

    Returns
    -------
    ndarray of shape (n_features, n_features)
        The matrix.
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

    Due to [1]_.

    See :func:`mahalanobis`. Of the features that go into the last linear layer, no
    others, and without a change of the input. Not for networks that were trained on
    out-of-distribution samples: their features of unknown samples move to the origin,
    between the class means.

    Attributes
    ----------
    means_ : ndarray of shape (n_classes, n_features)
        Mean of each class.
    whitening_ : ndarray of shape (n_features, n_features)
        Makes the covariance within classes the identity. To every variance a millionth
        of their mean is added.

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

    def _learn(self, features, y):
        self.means_, residuals = class_means(features, y)
        self.whitening_ = whitening(residuals)

    def _of_features(self, features):
        return mahalanobis(features, self.means_, self.whitening_)


class RMD(FeatureScore):
    """Mahalanobis distance relative to that of all classes together.

    Due to [1]_.

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

    def _learn(self, features, y):
        self.means_, residuals = class_means(features, y)
        self.whitening_ = whitening(residuals)
        self.mean_ = features.mean(axis=0)
        self.whitening_of_all_ = whitening(features - self.mean_)

    def _of_features(self, features):
        return rmd(
            features,
            self.means_,
            self.whitening_,
            self.mean_,
            self.whitening_of_all_,
        )
