# SPDX-License-Identifier: BSD-3-Clause
"""The last linear layer of a classifier, and the features that go into it."""

from contextlib import contextmanager
from threading import get_ident

import torch
from torch import Tensor, nn

from confident_clf.modules._trial import evaluating


def find_head(network: nn.Module, x: Tensor) -> str:
    """Return the name of the linear layer that makes the logits.

    Parameters
    ----------
    network : nn.Module
        The classifier, in training mode before and after.
    x : Tensor of shape (n, ...)
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
    with evaluating(network), torch.no_grad():
        head = _logits_layer(network, x)
    if head is None:
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


@contextmanager
def recorded_linears(network: nn.Module):
    """Record the calls of the linear layers.

    Those of this thread alone: others may predict with the network meanwhile, but not
    with a compiled one.

    Parameters
    ----------
    network : nn.Module
        A network that runs in the block.

    Yields
    ------
    list of (nn.Linear, Tensor, Tensor)
        Layer, input and output of each call.
    """
    calls, thread = [], get_ident()

    def record(layer, args, output):
        # What torch.compile traces cannot ask for its thread.
        if torch.compiler.is_compiling() or get_ident() == thread:
            calls.append((layer, args[0], output))

    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def penultimate(network: nn.Module, x: Tensor) -> Tensor:
    """Return the features: what goes into the last linear layer on vectors.

    Parameters
    ----------
    network : nn.Module
        The classifier.
    x : Tensor of shape (n, ...)
        Samples.

    Returns
    -------
    Tensor of shape (n, d)
        The features.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    with recorded_linears(network) as calls:
        network(x)
    for _, features, _ in reversed(calls):
        if features.shape[:-1] == (len(x),):
            return features
    raise ValueError(
        f"module={type(network).__name__} has no torch.nn.Linear on one vector for "
        "each sample: what goes into the last one are its features. Make the module "
        "end so, or choose a method that needs no features, such as 'energy'."
    )


def last_linear(network: nn.Module, x: Tensor) -> nn.Linear:
    """Return the linear layer that makes the logits.

    Parameters
    ----------
    network : nn.Module
        The classifier.
    x : Tensor of shape (n, ...)
        A few samples.

    Returns
    -------
    nn.Linear
        The layer.

    Raises
    ------
    ValueError
        If the logits do not come straight out of one.
    """
    head = _logits_layer(network, x)
    if head is None:
        raise ValueError(
            f"module={type(network).__name__} must end with a torch.nn.Linear on one "
            "vector for each sample, whose weight and bias the method needs. Make it "
            "end so, or choose a method that needs less, such as 'knn' or 'energy'."
        )
    return head


def _logits_layer(network: nn.Module, x: Tensor) -> nn.Linear | None:
    """Return the linear layer on vectors whose output is the network's, if any."""
    with recorded_linears(network) as calls:
        logits = network(x.clone())  # which may work in place
    layer, features, output = calls[-1] if calls else (None, x, None)
    return layer if output is logits and features.ndim == 2 else None
