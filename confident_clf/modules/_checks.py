# SPDX-License-Identifier: BSD-3-Clause
"""Try a network on a few samples before any training starts."""

import warnings

import torch
from torch import Tensor, nn

from confident_clf.modules._batch_norm import batch_norms
from confident_clf.modules._trial import evaluating


def check_classifier(network: nn.Module, x: Tensor, n_classes: int) -> None:
    """Raise ValueError unless the network returns logits (n, n_classes).

    Warns if they look like probabilities.

    Parameters
    ----------
    network : nn.Module
        The classifier, in training mode before and after.
    x : Tensor of shape (n, ...)
        A few samples, on the network's device.
    n_classes : int
        Number of logits expected.
    """
    logits = _try("module", network, x)
    if logits.shape != (len(x), n_classes):
        raise ValueError(
            f"module={type(network).__name__} must return logits of shape "
            f"(n, {n_classes}), one for each class; for {len(x)} samples it returned "
            f"shape {tuple(logits.shape)}. Give its last layer n_classes outputs."
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
    """Raise ValueError unless the network returns samples (n, *output_shape).

    Parameters
    ----------
    network : nn.Module
        The generator, in training mode before and after.
    z : Tensor of shape (n, latent_dim)
        A few latent vectors, on the network's device.
    output_shape : tuple of int
        Shape of one sample.
    """
    samples = _try("generator", network, z)
    if samples.shape != (len(z), *output_shape):
        raise ValueError(
            f"generator={type(network).__name__} must return samples of the shape of "
            f"the training data, (n, {', '.join(map(str, output_shape))}); for "
            f"{len(z)} latent vectors it returned shape {tuple(samples.shape)}."
        )


def check_discriminator(network: nn.Module, x: Tensor) -> None:
    """Raise ValueError unless the network returns one logit per sample.

    Parameters
    ----------
    network : nn.Module
        The discriminator, in training mode before and after.
    x : Tensor of shape (n, ...)
        A few samples, on the network's device.
    """
    logits = _try("discriminator", network, x)
    if logits.numel() != len(x):
        raise ValueError(
            f"discriminator={type(network).__name__} must return one logit per sample; "
            f"for {len(x)} samples it returned shape {tuple(logits.shape)}."
        )


def warn_of_batch_norm(network: nn.Module) -> None:
    """Warn if a classifier normalises over the batch.

    Parameters
    ----------
    network : nn.Module
        The classifier.
    """
    names = list(batch_norms(network))
    if names:
        warnings.warn(
            f"module={type(network).__name__} has BatchNorm ({names[0]!r}"
            f"{f' and {len(names) - 1} more' if names[1:] else ''}). Its statistics "
            "are those of the training samples alone, yet training with out-of-"
            "distribution samples can cost accuracy: prefer GroupNorm or no "
            "normalisation.",
            UserWarning,
            stacklevel=2,
        )


def _try(role: str, network: nn.Module, x: Tensor) -> Tensor:
    """Return the network's output on `x`; its state and mode stay as they were."""
    try:
        with evaluating(network), torch.no_grad():
            output = network(x)
    except Exception as error:
        raise ValueError(
            f"{role}={type(network).__name__} failed on a batch of shape "
            f"{tuple(x.shape)}: {error}"
        ) from error
    if not isinstance(output, Tensor):
        raise ValueError(
            f"{role}={type(network).__name__} must return a tensor; it returned "
            f"{type(output).__name__}."
        )
    return output
