# SPDX-License-Identifier: BSD-3-Clause
"""GEN: generalised entropy as a score object."""

from numbers import Integral, Real

import numpy as np

from confident_clf.scores._logits import gen, spread_reject
from confident_clf.scores._score import LogitScore
from confident_clf.utils._sklearn import Interval


class GEN(LogitScore):
    """Generalised entropy of the softmax probabilities.

    Introduced in [1]_. With the `n_top` largest probabilities p_k the score is::

        sum_k (p_k * (1 - p_k)) ** gamma.

    See :func:`gen`.

    Parameters
    ----------
    gamma : float, default=0.1
        Exponent, between 0 and 1.
    n_top : int, default=100
        How many classes count, starting from the most probable one. With fewer
        classes, all count.

    References
    ----------
    .. [1] Liu, Lochman and Zach, "GEN: Pushing the Limits of Softmax-Based
       Out-of-Distribution Detection", CVPR 2023, eq. (4) and (5).

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.scores import GEN
    >>> clf = ConfidentClassifier(method=GEN(gamma=0.5))
    """

    _parameter_constraints: dict = {
        "gamma": [Interval(Real, 0, 1, closed="neither")],
        "n_top": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, gamma: float = 0.1, n_top: int = 100):
        self.gamma = gamma
        self.n_top = n_top

    def of_logits(self, logits: np.ndarray, *, rejects: bool = False) -> np.ndarray:
        """Return the score of each row of logits."""
        logits = spread_reject(logits) if rejects else logits
        return gen(logits, self.gamma, self.n_top)
