# SPDX-License-Identifier: BSD-3-Clause
"""The scores of features, rarities and p-values as functions of tensors, float64."""

import torch
from torch import Tensor
from torch.linalg import vector_norm as norm

from confident_clf._export._logit_functions import (
    energy,
    log_add_exp,
    relative_to_reject,
)


def knn(features: Tensor, train: Tensor, n_neighbors: int) -> Tensor:
    """Return the distance of directions to the k-th nearest one of `train`."""
    lengths = norm(features, dim=1, keepdim=True)
    directions = features / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)
    halves = train.square().sum(dim=1) / 2 - directions @ train.T
    nearest = halves.topk(min(n_neighbors, len(train)), dim=1, largest=False).indices
    # The products round too much for small distances, as in scores/_features.py.
    return norm(directions - train.index_select(0, nearest[:, -1]), dim=1)


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
    residual = norm((features - origin) @ null_space, dim=1)
    virtual = alpha * residual
    if rejects:
        logits = relative_to_reject(logits)
        virtual = log_add_exp(virtual, torch.zeros_like(virtual))
    return virtual - torch.logsumexp(logits, dim=1)


def count_not_above(values: Tensor, scores: Tensor) -> Tensor:
    """Return how many values of a row are not above each score, (n,).

    `values` has one row for all scores, or one row for each. ONNX has no search in
    sorted values, so all of them are compared. NaN is never counted.
    """
    return (values <= scores[:, None]).sum(dim=1)


def rarity(
    scores: Tensor,
    values: Tensor,
    rarities: Tensor,
    slopes: Tensor,
    least: float,
    start: float,
    scale: float,
) -> Tensor:
    """Return the rarity of scores, from the table of `rarity_table`.

    `slopes` says how fast the rarity rises after each value, of which `least` is the
    first.
    """
    body = scores.clamp(least, start)
    # None is below the first value but NaN, which is not counted at all.
    left = (count_not_above(values[None], body) - 1).clamp(min=0)
    above = body - values.index_select(0, left)
    inside = rarities.index_select(0, left) + slopes.index_select(0, left) * above
    return inside + (scores - start).clamp(min=0) / scale
