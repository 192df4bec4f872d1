# SPDX-License-Identifier: BSD-3-Clause
"""Several scores as one: how rare each value is, added up."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from confident_clf.scores._features import FeatureScore
from confident_clf.scores._named import make_single
from confident_clf.scores._once import ComputedOnce
from confident_clf.scores._score import OODScore

# The share of the reference values that shows how fast the tail falls.
_TAIL = 0.1
_N_FOLDS = 5
# With more rows than this, one part of this size is held out instead of all in turn.
_MAX_HELD_OUT = 2000


def rarity(scores: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """Return how rare it is that a reference value is as high, in nats.

    With the share S(s) of the n reference values that are s or higher, one added to
    count and n so that it is never 0, the rarity is::

        R(s) = -log S(s)                     up to t,
        R(s) = -log S(t) + (s - t) / m       above t.

    t is the value that a tenth of the reference values exceed, and m is by how much
    they exceed it in the mean: an exponential distribution continues the tail. So the
    rarity goes on growing where there are no reference values. Between reference values
    it is interpolated.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores, higher for out-of-distribution.
    reference : array-like of shape (n,)
        Scores of in-distribution samples.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        0 or more. For an in-distribution sample it is exceeded by r with probability
        exp(-r), about.

    Examples
    --------
    >>> from confident_clf.scores import rarity
    >>> reference = range(1, 100)
    >>> rarity([0, 50, 90, 100], reference).round(2).tolist()
    [0.0, 0.67, 2.3, 4.12]
    """
    scores = np.asarray(scores, dtype=np.float64)
    values, rarities, start, scale = rarity_table(reference)
    body = np.interp(np.minimum(scores, start), values, rarities)
    return body + np.maximum(scores - start, 0) / scale


def rarity_table(
    reference: ArrayLike,
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return the reference values without repeats, their rarities, t and m."""
    reference = np.sort(np.asarray(reference, dtype=np.float64))
    n = len(reference)
    values, first = np.unique(reference, return_index=True)
    rarities = np.log(n + 1) - np.log(n - first + 1)
    start = reference[n - 1 - math.ceil(_TAIL * n)] if n > 1 else reference[0]
    excess = (reference[reference > start] - start).mean() if start < values[-1] else 0
    # Reference values that are all the same do not tell how fast the tail falls.
    scale = excess or max(abs(start), 1.0)
    return values, rarities, start, scale


class Fused(OODScore):
    """Several scores as one: how rare each value is, added up.

    A single score can be wrong where another one is right: far from the data a softmax
    is sure, and after training with out-of-distribution samples the features of unknown
    samples may lie where those of known ones do. Each score s_i becomes its rarity R_i
    among training samples, see :func:`rarity`, and the fused score is::

        sum_i R_i(s_i).

    For independent scores that is Fisher's combination of their p-values, up to a
    factor of 2. A rarity is never negative. So a score that takes an unknown sample for
    a very common one cannot outweigh another that finds it rare.

    Scores that learn from the training samples are judged by samples that they did not
    see: five parts are held out in turn, or, with more than 10,000 samples, one part of
    2,000. The network is the same in all of them.

    Parameters
    ----------
    scores : list of str, OODScore or estimator
        The scores, by name or as objects. An outlier detector of scikit-learn, such as
        :class:`~sklearn.neighbors.LocalOutlierFactor`, is fitted on the inputs of the
        network: see :class:`InputScore`.

    Attributes
    ----------
    scores_ : list of OODScore
        The fitted scores.
    references_ : list of ndarray
        Values of each score for training samples, ascending.

    See Also
    --------
    AutoScore : The default, which chooses the scores.

    Examples
    --------
    >>> from sklearn.neighbors import LocalOutlierFactor
    >>> from confident_clf import ConfidentClassifier
    >>> clf = ConfidentClassifier(method=["gen", "mahalanobis", LocalOutlierFactor()])
    >>> clf.get_params()["method"][0]
    'gen'
    """

    needs_fit = True

    def __init__(self, scores: Sequence):
        self.scores = scores

    def made(self) -> list[OODScore]:
        """Return the scores as objects.

        Returns
        -------
        list of OODScore
            The scores, not fitted.

        Raises
        ------
        ValueError
            If `scores` is not a list, is empty, or one of its elements is not a score.
        """
        if not isinstance(self.scores, list | tuple) or not self.scores:
            raise ValueError(
                f"scores={self.scores!r} must be a list of scores, such as "
                "['gen', 'mahalanobis']."
            )
        return [make_single(score) for score in self.scores]

    def check(self, network: Any, X: np.ndarray) -> None:
        """Raise ValueError if the network lacks what one of the scores needs."""
        for score in self.made():
            score.check(network, X)

    def fit(self, network: Any, X: np.ndarray, y: np.ndarray) -> Self:
        """Fit every score, and learn its values for training samples."""
        return self._fit(self.made(), network, X, y)

    def _fit(self, scores: list[OODScore], network, X, y):
        """Fit these scores, and learn their values for training samples."""
        network = _once(network, X, scores)
        values = [_values_of_others(score, network, X, y) for score in scores]
        self.references_ = [np.sort(of_score) for of_score in values]
        self.scores_ = [clone(score).fit(network, X, y) for score in scores]
        return self

    def ood_score(self, network: Any, X: np.ndarray) -> np.ndarray:
        """Return the sum of the rarities of each sample."""
        check_is_fitted(self)
        network = _once(network, X, self.scores_)
        pairs = zip(self.scores_, self.references_, strict=True)
        first, *others = (rarity(s.ood_score(network, X), r) for s, r in pairs)
        return sum(others, first)


def _once(network, X: np.ndarray, scores: list[OODScore]):
    """Return a view that passes X through the network once, for several scores."""
    if len(scores) == 1:
        return network
    if not (isinstance(network, ComputedOnce) and network.is_of(X)):
        network = ComputedOnce(network, X)
    network.with_features = any(isinstance(score, FeatureScore) for score in scores)
    return network


def _values_of_others(score: OODScore, network, X, y) -> np.ndarray:
    """Return values of a score for training samples that it was not fitted on."""
    parts = _held_out_parts(len(X))
    if not score.needs_fit:
        every = score.ood_score(network, X)
        return every[np.concatenate([held_out for _, held_out in parts])]
    values = []
    for train, held_out in parts:
        if isinstance(score, FeatureScore):
            fitted = clone(score).fit_rows(network, X, y, train)
            values.append(fitted.of_features(network.features(X)[held_out]))
        else:
            fitted = clone(score).fit(network, X[train], y[train])
            values.append(fitted.ood_score(network, X[held_out]))
    return np.concatenate(values)


def _held_out_parts(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rows to fit on and rows to hold out, for each part."""
    n_folds = min(_N_FOLDS, n)
    parts = list(KFold(n_folds, shuffle=True, random_state=0).split(np.empty(n)))
    if n <= _N_FOLDS * _MAX_HELD_OUT:
        return parts
    order = np.random.RandomState(0).permutation(n)
    return [(np.sort(order[_MAX_HELD_OUT:]), order[:_MAX_HELD_OUT])]
