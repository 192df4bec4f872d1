# SPDX-License-Identifier: BSD-3-Clause
"""Out-of-distribution samples in the feature space of the classifier."""

from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

from confident_clf.sources._base import OODSource
from confident_clf.utils._sklearn import Interval


class FeatureOOD(OODSource):
    """Points around low-density features of the classifier; needs no generator.

    The features are what goes into the classifier's last linear layer. In every batch,
    those that lie in the least dense places, with the greatest distance to the next
    feature, are moved in random directions by a multiple of that distance. The idea is
    that of [1]_, with the batch for the memory of features. The gradient reaches the
    features that the points were made from, so that training keeps a rim of low
    confidence around the data. For all but the last layer that costs no further pass.

    Parameters
    ----------
    share : float, default=0.5
        Share of a batch's features, those in the least dense places, to start from.
    distance : float, default=5.0
        How far to move, as a multiple of the distance to the next feature.

    References
    ----------
    .. [1] L. Tao, X. Du, X. Zhu and Y. Li, "Non-Parametric Outlier Synthesis", ICLR
       2023.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import FeatureOOD
    >>> clf = ConfidentClassifier(ood_source=FeatureOOD(distance=3.0))
    """

    makes_inputs = False
    makes_features = True

    _parameter_constraints: dict = {
        "share": [Interval(Real, 0, 1, closed="right")],
        "distance": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, *, share=0.5, distance=5.0):
        super().__init__()
        self.share = share
        self.distance = distance

    def sample_features(self, features: Tensor, n: int) -> Tensor:
        """Return `n` points around the features of a batch; keep the features."""
        self.features_ = features.detach()
        return points_around(features, n, self.share, self.distance)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return `n` points around the features of the last batch, (n, n_features)."""
        return points_around(self.features_, n, self.share, self.distance)


def points_around(features: Tensor, n: int, share: float, distance: float) -> Tensor:
    """Return `n` points around the features in the least dense places.

    Parameters
    ----------
    features : Tensor of shape (b, d), b >= 2
        Features of in-distribution samples.
    n : int
        Number of points.
    share : float
        Share of the features to start from, those with the farthest next neighbour.
    distance : float
        Length of the move in a random direction, in distances to the next neighbour.

    Returns
    -------
    Tensor of shape (n, d)
        The points, with the graph of the features they start from.
    """
    detached = features.detach()
    distances = torch.cdist(detached, detached)  # (b, b)
    to_next = distances.fill_diagonal_(torch.inf).amin(dim=1)  # (b,)
    sparse = to_next.topk(max(1, round(share * len(features)))).indices
    start = sparse[torch.randint(len(sparse), (n,), device=features.device)]
    direction = F.normalize(torch.randn_like(detached[start]), dim=1)
    return features[start] + distance * to_next[start, None] * direction
