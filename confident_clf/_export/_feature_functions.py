# SPDX-License-Identifier: BSD-3-Clause
"""The scores of features, rarities and p-values as functions of tensors, float64."""

import torch
from torch import Tensor

from confident_clf._export._logit_functions import (
    energy,
    log_add_exp,
    log_sum_exp,
    relative_to_reject,
)


def knn(features: Tensor, train: Tensor, n_neighbors: int) -> Tensor:
    """Return the distance of directions to the k-th nearest one of `train`."""
    lengths = features.square().sum(dim=1, keepdim=True).sqrt()
    directions = features / torch.where(lengths == 0, 1.0, lengths)
    halves = train.square().sum(dim=1) / 2 - directions @ train.T
    nearest = halves.topk(min(n_neighbors, len(train)), dim=1, largest=False).indices
    # The products round too much for small distances, as in scores/_features.py.
    return (directions - train[nearest[:, -1]]).square().sum(dim=1).sqrt()


def mahalanobis(features: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """Return the squared Mahalanobis distance to the nearest mean."""
    white = (features - means[0]) @ whitening
    means_white = (means - means[0]) @ whitening
    return (white[:, None] - means_white).square().sum(dim=2).amin(dim=1)


def rmd(
    features: Tensor,
    means: Tensor,
    whitening: Tensor,
    mean: Tensor,
    whitening_of_all: Tensor,
) -> Tensor:
    """Return the Mahalanobis distance relative to that of all training samples."""
    of_all = mahalanobis(features, mean[None], whitening_of_all)
    return mahalanobis(features, means, whitening) - of_all


def react(
    features: Tensor, weight: Tensor, bias: Tensor, threshold: float, rejects: bool
) -> Tensor:
    """Return the energy of the logits of clipped features."""
    logits = features.clamp(max=threshold) @ weight.T + bias
    return energy(relative_to_reject(logits) if rejects else logits)


def vim(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    origin: Tensor,
    null_space: Tensor,
    alpha: float,
    rejects: bool,
) -> Tensor:
    """Return the log-odds of the virtual logit."""
    logits = features @ weight.T + bias
    residual = ((features - origin) @ null_space).square().sum(dim=1).sqrt()
    virtual = alpha * residual
    if rejects:
        logits = relative_to_reject(logits)
        virtual = log_add_exp(virtual, torch.zeros_like(virtual))
    return virtual - log_sum_exp(logits)


def count_not_above(values: Tensor, scores: Tensor) -> Tensor:
    """Return how many values of a row are not above each score, (n,).

    `values` has one row for all scores, or one row for each. ONNX has no search in
    sorted values, so all of them are compared. NaN is never counted.
    """
    return (values <= scores[:, None]).sum(dim=1)


def rarity(
    scores: Tensor, values: Tensor, rarities: Tensor, start: float, scale: float
) -> Tensor:
    """Return the rarity of scores, from the table of `rarity_table`."""
    body = torch.maximum(scores, values[0]).clamp(max=start)
    right = count_not_above(values[None], body).clamp(1, len(values) - 1)
    left = right - 1
    slope = (rarities[right] - rarities[left]) / (values[right] - values[left])
    inside = rarities[left] + slope * (body - values[left])
    return inside + (scores - start).clamp(min=0) / scale
