# SPDX-License-Identifier: BSD-3-Clause
"""A small convolutional classifier: the default for images."""

import math
from itertools import pairwise

from torch import Tensor, nn

from confident_clf.modules._sizes import n_halvings


class SmallConvNet(nn.Module):
    """Convolutional classifier for images of any size from 8x8 up.

    Stages of two 3x3 convolutions and a 2x2 maximum, as many as leave maps of 4 to 7
    pixels on the shorter side, then one hidden layer. There is no BatchNorm: it would
    mix the statistics of real and generated images.

    Parameters
    ----------
    input_shape : tuple of (channels, height, width)
        Shape of one image.
    n_classes : int
        Number of logits.
    width : int, default=32
        Channels of the first stage; each further stage doubles them, up to 8 times.
    hidden : int, default=128
        Width of the hidden layer.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import SmallConvNet
    >>> SmallConvNet((1, 28, 28), 10)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        n_classes: int,
        *,
        width: int = 32,
        hidden: int = 128,
    ):
        super().__init__()
        channels, height, length = input_shape
        n_stages = n_halvings(height, length)
        widths = [channels, *(width * min(2**i, 8) for i in range(n_stages))]
        self.features = nn.Sequential(
            *(_stage(n_in, n_out) for n_in, n_out in pairwise(widths)),
            nn.Flatten(),
            nn.Linear(
                widths[-1] * math.prod(s >> n_stages for s in (height, length)), hidden
            ),
            nn.ReLU(),
        )
        self.head = nn.Linear(hidden, n_classes)
        self.apply(_init_for_relu)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (n, n_classes), of images."""
        return self.head(self.features(x))


def _stage(n_in: int, n_out: int) -> nn.Sequential:
    """Return two 3x3 convolutions and a maximum that halves height and width."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


def _init_for_relu(layer: nn.Module) -> None:
    """Keep the scale of the activations from layer to layer (He et al., 2015)."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
