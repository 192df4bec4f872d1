# SPDX-License-Identifier: BSD-3-Clause
"""Generalised entropy as a score object."""

from numbers import Integral, Real

from confident_clf.scores._logits import gen, spread_reject
from confident_clf.scores._score import LogitScore
from confident_clf.utils._sklearn import Interval


class GEN(LogitScore):
    """Generalised entropy: see :func:`gen`.

    Due to [1]_.

    Parameters
    ----------
    gamma : float, default=0.1
        Exponent, between 0 and 1.
    n_top : int, default=100
        How many classes count, the most probable ones; of fewer classes, all.

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

    def __init__(self, *, gamma=0.1, n_top=100):
        self.gamma = gamma
        self.n_top = n_top

    def of_logits(self, logits, *, rejects=False):
        """Return the score of each row of logits."""
        logits = spread_reject(logits) if rejects else logits
        return gen(logits, self.gamma, self.n_top)
