# SPDX-License-Identifier: BSD-3-Clause
"""Out-of-distribution samples in the feature space of the classifier."""

from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

from confident_clf.sources._source import OODSource
from confident_clf.utils._sklearn import Interval


class FeatureOOD(OODSource):
    """Points around low-density features of the classifier; needs no generator.

    The features are the inputs of the classifier's last linear layer. In every batch,
    take the features h whose distance d(h) to the nearest other feature is largest:
    they lie where the data are least dense. The samples are ``h + distance * d(h) * u``
    with a random direction u of length 1. The idea comes from [1]_; here the batch
    takes the place of a memory of features. The gradient reaches the features that the
    points were made from, so training keeps a rim of low confidence around the data.
    No layer except the last one needs a further pass.

    Parameters
    ----------
    share : float, default=0.5
        Share of a batch's features to start from, those in the least dense places.
        Above 0, at most 1.
    distance : float, default=5.0
        How far to move, as a multiple of the distance to the nearest other feature.

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

    def __init__(self, *, share: float = 0.5, distance: float = 5.0):
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
    """Return `n` points around the features (b, d) in the least dense places.

    The points carry the graph of the features they start from. b is at least 2.
    """
    detached = features.detach()
    distances = torch.cdist(detached, detached)  # (b, b)
    to_next = distances.fill_diagonal_(torch.inf).amin(dim=1)  # (b,)
    sparse = to_next.topk(max(1, round(share * len(features)))).indices
    start = sparse[torch.randint(len(sparse), (n,), device=features.device)]
    direction = F.normalize(torch.randn_like(detached[start]), dim=1)
    return features[start] + distance * to_next[start, None] * direction
