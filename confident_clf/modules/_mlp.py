# SPDX-License-Identifier: BSD-3-Clause
"""Fully connected networks: the defaults for rows of features."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


def _dense_stack(sizes: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return linear layers of these sizes, each followed by the activation."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers)


class MLP(nn.Module):
    """Fully connected classifier.

    Its layers, in order: each hidden layer with ReLU, then a linear layer that returns
    the logits.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample. Samples that are not rows are flattened.
    n_classes : int
        Number of logits.
    hidden : tuple of int, default=(128, 128)
        Widths of the hidden layers.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import MLP
    >>> MLP((20,), 3)(torch.zeros(5, 20)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        *,
        hidden: tuple[int, ...] = (128, 128),
    ):
        super().__init__()
        sizes = [math.prod(input_shape), *hidden]
        self.features = _dense_stack(sizes, nn.ReLU)
        self.head = nn.Linear(sizes[-1], n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of samples, (n, n_classes)."""
        return self.head(self.features(x.flatten(1)))


class MLPGenerator(nn.Module):
    """Fully connected generator of rows.

    Its layers, in order: each hidden layer with ReLU, then a linear layer that returns
    the sample.

    All features of its output have the same scale.
    :class:`~confident_clf.sources.JointGAN` converts them to the units of the data.

    Parameters
    ----------
    latent_dim : int
        Size of the latent vector z.
    output_shape : tuple of int
        Shape of one generated sample.
    hidden : tuple of int, default=(64, 64)
        Widths of the hidden layers.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import MLPGenerator
    >>> MLPGenerator(8, (20,))(torch.zeros(5, 8)).shape
    torch.Size([5, 20])
    """

    def __init__(
        self,
        latent_dim: int,
        output_shape: tuple[int, ...],
        *,
        hidden: tuple[int, ...] = (64, 64),
    ):
        super().__init__()
        self.output_shape = tuple(output_shape)
        sizes = [latent_dim, *hidden]
        self.features = _dense_stack(sizes, nn.ReLU)
        self.head = nn.Linear(sizes[-1], math.prod(output_shape))

    def forward(self, z: Tensor) -> Tensor:
        """Return samples, ``(n, *output_shape)``, for latent vectors."""
        return self.head(self.features(z)).unflatten(1, self.output_shape)


class MLPDiscriminator(nn.Module):
    """Fully connected discriminator of rows.

    Its layers, in order: each hidden layer with LeakyReLU of slope 0.2, then a linear
    layer that returns one logit.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample. Samples that are not rows are flattened.
    hidden : tuple of int, default=(64, 64)
        Widths of the hidden layers.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import MLPDiscriminator
    >>> MLPDiscriminator((20,))(torch.zeros(5, 20)).shape
    torch.Size([5, 1])
    """

    def __init__(
        self, input_shape: tuple[int, ...], *, hidden: tuple[int, ...] = (64, 64)
    ):
        super().__init__()
        sizes = [math.prod(input_shape), *hidden]
        self.body = _dense_stack(sizes, _LeakyReLU)
        self.head = nn.Linear(sizes[-1], 1)

    def features(self, x: Tensor) -> Tensor:
        """Return the output of the last hidden layer, for the pull-away term.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Samples.

        Returns
        -------
        Tensor of shape (n, d)
            One vector per sample.
        """
        return self.body(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit per sample, (n, 1): the log-odds of being real."""
        return self.head(self.features(x))


class _LeakyReLU(nn.LeakyReLU):
    """Leaky ReLU with the slope that DCGAN uses."""

    def __init__(self) -> None:
        super().__init__(0.2)
