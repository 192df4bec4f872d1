# SPDX-License-Identifier: BSD-3-Clause
"""The last linear layer of a classifier, and the features that go into it."""

from contextlib import contextmanager

import torch
from torch import Tensor, nn


def find_head(network: nn.Module, x: Tensor) -> str:
    """Return the name of the linear layer that makes the logits.

    Parameters
    ----------
    network : nn.Module
        The classifier, in training mode before and after.
    x : Tensor of shape (n, *input_shape)
        A few samples, on the network's device.

    Returns
    -------
    str
        A name for ``network.get_submodule``.

    Raises
    ------
    ValueError
        If the logits do not come straight out of an :class:`torch.nn.Linear` whose
        input is one vector for each sample.
    """
    calls = []
    handles = [
        layer.register_forward_hook(lambda *call: calls.append(call))
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    network.eval()
    try:
        with torch.no_grad():
            logits = network(x)
    finally:
        network.train()
        for handle in handles:
            handle.remove()
    head, (features,), output = calls[-1] if calls else (None, (x,), None)
    if output is not logits or features.ndim != 2:
        raise ValueError(
            f"module={type(network).__name__} must end with a torch.nn.Linear on one "
            "vector for each sample: what goes into it are its features. Make it end "
            "so, or choose an OOD source that needs no features."
        )
    return next(name for name, layer in network.named_modules() if layer is head)


@contextmanager
def recorded_inputs(layer: nn.Module):
    """Record what goes into a layer.

    Parameters
    ----------
    layer : nn.Module
        A layer of a network that runs in the block.

    Yields
    ------
    list of Tensor
        The input of each call, with its graph.
    """
    inputs = []
    handle = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        yield inputs
    finally:
        handle.remove()
