# SPDX-License-Identifier: BSD-3-Clause
"""Try a network on a few samples, and leave it as it was."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


@contextmanager
def evaluating(network):
    """Switch dropout and the updates of BatchNorm off for a while.

    Parameters
    ----------
    network : nn.Module
        In training mode before and after.

    Yields
    ------
    nn.Module
        The same network in evaluation mode.
    """
    network.eval()
    try:
        yield network
    finally:
        network.train()


def flop(network, x):
    """Return the floating-point operations of one pass.

    torch's own counter takes two seconds to import.

    Parameters
    ----------
    network : nn.Module
        In training mode before and after.
    x : Tensor of shape (n, ...)
        Samples on the device of the network.

    Returns
    -------
    int
        Two for each multiplication in a linear layer or a convolution.
    """
    counts = []

    def count(layer, inputs, output):
        # A transposed convolution spreads each number of its input.
        one_each = inputs[0] if isinstance(layer, _ConvTransposeNd) else output
        counts.append(2 * one_each.numel() * layer.weight[0].numel())

    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, _ConvNd))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with evaluating(network), torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return sum(counts)


def prefer_channels_last(network, x):
    """Lay filters out with the channels last, the faster way, where a network can.

    Parameters
    ----------
    network : nn.Module
        In training mode before and after. One whose layers ``view`` images in the
        usual layout keeps it.
    x : Tensor
        A few samples of its input.
    """
    network.to(memory_format=torch.channels_last)
    try:
        with evaluating(network), torch.no_grad():
            network(x)
    except RuntimeError:
        network.to(memory_format=torch.contiguous_format)


def keeps_nothing(network):
    """Return whether passes of a network may run side by side.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode. A user's class may keep what one of its layers made for
        another, and hooks may keep anything.

    Returns
    -------
    bool
        True if all its modules are torch's or ours, without hooks.
    """
    return all(
        type(module).__module__.startswith(_MODULES_THAT_KEEP_NOTHING)
        and not module._forward_hooks
        and not module._forward_pre_hooks
        for module in network.modules()
    )


_MODULES_THAT_KEEP_NOTHING = ("torch.nn.modules.", "confident_clf.modules.")
