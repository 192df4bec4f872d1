# SPDX-License-Identifier: BSD-3-Clause
"""The default score: several scores together, chosen by the kind of data."""

from typing import Any, Self

import numpy as np
from sklearn.mixture import GaussianMixture

from confident_clf.scores._features import KNN
from confident_clf.scores._fused import Fused
from confident_clf.scores._gaussian import Mahalanobis
from confident_clf.scores._gen import GEN
from confident_clf.scores._inputs import InputScore
from confident_clf.scores._score import NamedScore, OODScore

# More would make large training sets slow to score with, and files long.
_N_NEIGHBORS_TO_KEEP = 2000


# A covariance of more features takes seconds to decompose, then minutes.
_MOST_FEATURES = 1024


class AutoScore(Fused):
    """The default score: several scores together, chosen by the kind of data.

    For rows of features these are "energy", "mahalanobis" and "knn", for images "gen"
    and "knn"; "knn" keeps 2,000 training samples. With more than 1,024 inputs of the
    last linear layer, "mahalanobis" would take too long and is left out. If the network
    has no such layer, the scores are "energy" and a Gaussian distribution of the inputs
    for rows, and "gen" for images. They are combined as in :class:`Fused`.

    They were chosen by held-out classes and broken samples, on data sets that no report
    shows: see the user guide.

    Attributes
    ----------
    scores_ : list of OODScore
        The fitted scores.
    references_ : list of ndarray
        Values of each score for training samples, ascending.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from confident_clf import ConfidentClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ConfidentClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> clf.method_.scores_
    [NamedScore(name='energy'), Mahalanobis(), KNN(n_samples=2000)]
    """

    def __init__(self) -> None:
        # Fused takes scores; these are chosen when there are data.
        pass

    def made(self):
        """Return nothing yet: the scores are chosen in `fit`."""
        return []

    def fit(self, network: Any, X: np.ndarray, y: np.ndarray) -> Self:
        """Choose the scores, fit them, and learn their values for training samples."""
        return self._fit(_scores_for(network, X), network, X, y)


def _scores_for(network, X) -> list[OODScore]:
    """Return the scores for a network and the kind of samples it takes."""
    is_image, n_features = X.ndim > 2, _n_features(network, X)
    if n_features == 0:
        density = InputScore(GaussianMixture(reg_covar=1e-3, random_state=0))
        return [GEN()] if is_image else [NamedScore("energy"), density]
    neighbors = KNN(n_samples=_N_NEIGHBORS_TO_KEEP)
    if is_image:
        return [GEN(), neighbors]
    if n_features > _MOST_FEATURES:
        return [NamedScore("energy"), neighbors]
    return [NamedScore("energy"), Mahalanobis(), neighbors]


def _n_features(network, X) -> int:
    """Return the number of features; 0 if there is no last linear layer."""
    try:
        return network.features(X[:4]).shape[1]
    except ValueError:
        return 0
