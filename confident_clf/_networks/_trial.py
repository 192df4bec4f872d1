# SPDX-License-Identifier: BSD-3-Clause
"""Try a network on a few samples before any training, and leave it as it was."""

import warnings
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from confident_clf._networks._batch_norm import batch_norms, frozen_batch_norms
from confident_clf.utils._torch import _ConvNd, _ConvTransposeNd, has_hooks

# A module of anybody else may keep something from one pass for the next.
_MODULES_WITHOUT_STATE = ("torch.nn.modules.", "confident_clf.modules.")


def check_classifier(
    network: nn.Module, x: Tensor, n_outputs: int, n_classes: int
) -> None:
    """Raise ValueError unless the network returns logits, (n, n_outputs).

    Warns if they look like probabilities.
    """
    logits = _try("module", network, x)
    if logits.shape != (len(x), n_outputs):
        rejects = (
            " and one for none of them, as ood_target is 'reject'"
            if n_outputs > n_classes
            else ""
        )
        remedy = "or set ood_target='uniform'" if rejects else "or name all classes"
        raise ValueError(
            f"module={type(network).__name__} must return logits of shape "
            f"(n, {n_outputs}), one for each class{rejects}; for {len(x)} samples it "
            f"returned shape {tuple(logits.shape)}. Give its last layer {n_outputs} "
            f"outputs, the n_classes that module is called with, {remedy}."
        )
    sums = logits.sum(dim=1)
    if (logits >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        warnings.warn(
            f"module={type(network).__name__} seems to return probabilities: its "
            "outputs are >= 0 and sum to 1. It must return logits: remove its softmax.",
            UserWarning,
            stacklevel=2,
        )


def check_generator(network: nn.Module, z: Tensor, output_shape) -> None:
    """Raise ValueError unless the network returns samples, (n, *output_shape)."""
    samples = _try("generator", network, z)
    if samples.shape != (len(z), *output_shape):
        raise ValueError(
            f"generator={type(network).__name__} must return samples of the shape of "
            f"the training data, (n, {', '.join(map(str, output_shape))}); for "
            f"{len(z)} latent vectors it returned shape {tuple(samples.shape)}."
        )


def check_discriminator(network: nn.Module, x: Tensor) -> None:
    """Raise ValueError unless the network returns one logit per sample."""
    logits = _try("discriminator", network, x)
    if logits.numel() != len(x):
        raise ValueError(
            f"discriminator={type(network).__name__} must return one logit per sample; "
            f"for {len(x)} samples it returned shape {tuple(logits.shape)}."
        )


def warn_of_batch_norm(network: nn.Module) -> None:
    """Warn if a classifier normalises over the batch, and name the layer.

    Layers of frozen parts keep their statistics, and are left out.
    """
    frozen = frozen_batch_norms(network)
    names = [name for name in batch_norms(network) if name not in frozen]
    if names:
        warnings.warn(
            f"module={type(network).__name__} has BatchNorm ({names[0]!r}"
            f"{f' and {len(names) - 1} more' if names[1:] else ''}). Its statistics "
            "come from the training samples alone, yet training with out-of-"
            "distribution samples can cost accuracy: prefer GroupNorm or no "
            "normalisation. In a pretrained network, freeze the layers, as by "
            "backbone_lr=0, and they keep the statistics they have; or set "
            "ood_source='features' or None, which put no such samples through them.",
            UserWarning,
            stacklevel=2,
        )


def _try(role: str, network: nn.Module, x: Tensor) -> Tensor:
    """Return the network's output on `x`."""
    try:
        with evaluating(network), torch.no_grad():
            output = network(x)
    except Exception as error:
        raise ValueError(
            f"{role}={type(network).__name__} failed on a batch of shape "
            f"{tuple(x.shape)}: {error}"
        ) from error
    if not isinstance(output, Tensor):
        remedy = ""
        if role == "module":
            remedy = (
                " Say where the logits are: from_trained(..., output='logits'), or "
                "confident_clf.modules.WrappedNetwork(network, output='logits')."
            )
        raise ValueError(
            f"{role}={type(network).__name__} must return a tensor; it returned "
            f"{type(output).__name__}.{remedy}"
        )
    return output


@contextmanager
def evaluating(network: nn.Module):
    """Put a network in evaluation mode in the block, and back after it."""
    were_training = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield network
    finally:
        for part in were_training:
            part.training = True  # `train` would also turn on frozen layers


def flop(network: nn.Module, x: Tensor) -> int:
    """Return the floating-point operations of one pass over `x`.

    Counts two for each multiplication in a linear layer or a convolution. torch's own
    counter takes two seconds to import.
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


def prefer_channels_last(network: nn.Module, x: Tensor) -> None:
    """Lay filters out with the channels last, which is faster, if the network allows.

    A network whose layers ``view`` images in the usual layout keeps that.
    """
    try:
        # Filters of volumes have no such layout either.
        network.to(memory_format=torch.channels_last)
        with evaluating(network), torch.no_grad():
            network(x)
    except RuntimeError:
        network.to(memory_format=torch.contiguous_format)


def has_parametrizations(network: nn.Module) -> bool:
    """Return whether a layer computes its weights, as weight_norm does."""
    return any(is_parametrized(module) for module in network.modules())


def keeps_nothing(network: nn.Module) -> bool:
    """Return whether passes of a network may run side by side.

    True if all its modules are torch's or ours, without hooks. A class of the user's
    may pass something from one of its layers to another through an attribute.
    """
    return all(
        type(module).__module__.startswith(_MODULES_WITHOUT_STATE)
        and not has_hooks(module)
        for module in network.modules()
    )
