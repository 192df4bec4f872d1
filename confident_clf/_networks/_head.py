# SPDX-License-Identifier: BSD-3-Clause
"""The last linear layer of a classifier, and the features that go into it."""

from contextlib import contextmanager
from threading import get_ident

import torch
from torch import Tensor, nn

from confident_clf._networks._trial import evaluating
from confident_clf.modules import WrappedNetwork


def find_head(network: nn.Module, x: Tensor) -> str:
    """Return the name of the linear layer that makes the logits.

    Found by a pass over a few samples. Raises ValueError if the logits do not come
    straight from an ``nn.Linear`` whose input is one vector for each sample.
    """
    with evaluating(network), torch.no_grad():
        head = _logits_layer(network, x)
    if head is None:
        raise ValueError(
            f"module={type(network).__name__} must end with a torch.nn.Linear on one "
            "vector for each sample: the input of that layer gives the features. End "
            "it that way, or choose an OOD source that needs no features."
        )
    return next(name for name, layer in network.named_modules() if layer is head)


@contextmanager
def recorded_inputs(layer: nn.Module):
    """Yield a list that collects the input, with its graph, of each call."""
    inputs = []
    handle = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        yield inputs
    finally:
        handle.remove()


@contextmanager
def recorded_linears(network: nn.Module):
    """Yield a list that collects layer, input and output of each linear layer's call.

    Only calls of this thread: others may predict with the network in the meantime. Of a
    compiled network they may not.
    """
    calls, thread = [], get_ident()

    def record(layer, args, output):
        # Code that torch.compile traces cannot ask for its thread.
        if torch.compiler.is_compiling() or get_ident() == thread:
            calls.append((layer, args[0], output))

    layers: list[nn.Module] = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if isinstance(network, WrappedNetwork) and network.head is not None:
        layers = [network.network.get_submodule(network.head)]
    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def penultimate(network: nn.Module, x: Tensor) -> Tensor:
    """Return the features, (n, d): the input of the last linear layer on vectors.

    Raises ValueError if there is no such layer.
    """
    return outputs_and_features(network, x)[1]


def outputs_and_features(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs, and the features of `penultimate`, by one pass."""
    outputs, features = _outputs_and_any_features(network, x)
    if features is None:
        raise ValueError(
            f"module={type(network).__name__} has no torch.nn.Linear on one vector for "
            "each sample: the input of the last one gives the features. End the module "
            "that way, or choose a method that needs no features, such as 'energy'."
        )
    return outputs, features


def all_results(network: nn.Module, x: Tensor) -> Tensor:
    """Return outputs and features side by side; the outputs alone if there are none."""
    outputs, features = _outputs_and_any_features(network, x)
    return outputs if features is None else torch.cat([outputs, features], dim=1)


def _outputs_and_any_features(
    network: nn.Module, x: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return the outputs and features; None for features if there are none."""
    with recorded_linears(network) as calls:
        outputs = network(x)
    for _, features, _ in reversed(calls):
        # Not len(x): that would make a program of torch.export for one batch size.
        if features.shape[:-1] == x.shape[:1]:
            return outputs, features
    return outputs, None


def weight_and_bias(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of the linear layer that makes the logits.

    In the order of the network's outputs. Raises ValueError as `last_linear`.
    """
    layer = last_linear(network, x)
    weight = layer.weight.detach()
    bias = None if layer.bias is None else layer.bias.detach()
    if isinstance(network, WrappedNetwork) and network.order is not None:
        weight = weight[network.order]
        bias = None if bias is None else bias[network.order]
    return weight, bias


def last_linear(network: nn.Module, x: Tensor) -> nn.Linear:
    """Return the linear layer that makes the logits.

    Raises ValueError if the logits do not come straight from one.
    """
    head = _logits_layer(network, x)
    if head is None:
        raise ValueError(
            f"module={type(network).__name__} must end with a torch.nn.Linear on one "
            "vector for each sample, whose weight and bias the method needs. End it "
            "that way, or choose another method, such as 'knn' or 'energy'."
        )
    return head


def _logits_layer(network: nn.Module, x: Tensor) -> nn.Linear | None:
    """Return the linear layer on vectors whose output is the network's, if any."""
    forward = network.in_own_order if isinstance(network, WrappedNetwork) else network
    with recorded_linears(network) as calls:
        logits = forward(x.clone())  # the network may work in place
    layer, features, output = calls[-1] if calls else (None, x, None)
    return layer if output is logits and features.ndim == 2 else None
