# SPDX-License-Identifier: BSD-3-Clause
"""Keep out-of-distribution samples out of BatchNorm's statistics."""

from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from confident_clf.utils._torch import _BatchNorm


def batch_norms(network: nn.Module) -> dict[str, nn.Module]:
    """Return the BatchNorm layers of a network, by name."""
    layers = network.named_modules()
    return {name: layer for name, layer in layers if isinstance(layer, _BatchNorm)}


def frozen_batch_norms(network: nn.Module) -> dict[str, nn.Module]:
    """Return the BatchNorm layers of frozen parts, by name.

    A layer is frozen if no weight of its own is trained, or, if it has none, no weight
    of the smallest part around it that has some.
    """
    parts = dict(network.named_modules())
    frozen = {}
    for name, layer in batch_norms(network).items():
        inner = name
        while inner and not any(True for _ in parts[inner].parameters()):
            inner = inner.rpartition(".")[0]
        weights = list(parts[inner].parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            frozen[name] = layer
    return frozen


@contextmanager
def statistics_of_first(network: nn.Module, n: int, n_all: int):
    """Let BatchNorm normalise all `n_all` samples by the statistics of the first `n`.

    The running averages see the first `n` samples and no others: they become what they
    would be without the rest of the batch. The rest is normalised as at inference, up
    to the difference of batch and running statistics; its gradient goes through the
    statistics. To normalise it with constants, or with its own statistics, costs more
    accuracy (docs/results/defaults.md). Layers in evaluation mode stay as they are:
    they use no statistics of the batch. So does a batch that has no rest.
    """
    layers = [layer for layer in batch_norms(network).values() if layer.training]
    if n == n_all:
        layers = []
    for layer in layers:
        layer.forward = partial(_normalize, layer, n, n_all)
    try:
        yield network
    finally:
        for layer in layers:
            del layer.forward


def _normalize(layer: Any, n: int, n_all: int, x: Tensor) -> Tensor:
    """Return the layer's output on `x` by the statistics of its first samples."""
    if len(x) != n_all:  # this layer does not see one item per sample
        return type(layer).forward(layer, x)
    first, rest = x.split([n, n_all - n])
    dims = [d for d in range(x.ndim) if d != 1]
    variance, mean = torch.var_mean(
        first.to(torch.promote_types(x.dtype, torch.float32)),
        dims,
        correction=0,
        keepdim=True,
    )  # (1, channels, 1, ...)
    normalized = (rest - mean) * torch.rsqrt(variance + layer.eps)
    if layer.affine:
        weight, bias = (p.view_as(mean) for p in (layer.weight, layer.bias))
        normalized = normalized * weight + bias
    # The layer's own pass over the first samples also moves the running averages.
    known = type(layer).forward(layer, first)
    return torch.cat([known, normalized.to(known.dtype)])
