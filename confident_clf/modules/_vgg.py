# SPDX-License-Identifier: BSD-3-Clause
"""VGGNet [1]_; the default is the VGG13 of the reference recipe.

References
----------
.. [1] K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale
   Image Recognition", ICLR 2015, configuration B.
"""

import math
from itertools import pairwise

from torch import Tensor, nn


class VGG(nn.Module):
    """VGG classifier without normalisation layers.

    Its layers, in order:

    1. Stages of 3x3 convolutions, each followed by ReLU. Every stage ends with a 2x2
       max pooling.
    2. Twice: a hidden fully connected layer with ReLU, then dropout.
    3. A fully connected layer that returns the logits.

    The defaults are the VGG13 of the reference code, layer by layer: five stages of two
    convolutions, with 64, 128, 256, 512 and 512 channels, and hidden layers of 512
    units.

    Weights are drawn from a normal distribution with mean 0. Its standard deviation is
    sqrt(2 / (9 * output channels)) for convolutions and 0.01 for fully connected
    layers. Biases start at zero.

    Parameters
    ----------
    input_shape : tuple of (channels, height, width)
        Shape of one image. Every stage halves height and width, so the default needs
        at least 32x32 pixels.
    n_classes : int
        Number of logits.
    stages : tuple of tuple of int, default: two convolutions in each of five stages
        Output channels of every convolution, one inner tuple per stage.
    hidden : int, default=512
        Width of the two hidden layers.
    dropout : float, default=0.5
        Probability of dropping a unit of each of the two hidden layers.

    Raises
    ------
    ValueError
        If the images are too small for the stages.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import VGG
    >>> VGG((3, 32, 32), 10)(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        n_classes: int,
        *,
        stages: tuple[tuple[int, ...], ...] = (
            (64, 64),
            (128, 128),
            (256, 256),
            (512, 512),
            (512, 512),
        ),
        hidden: int = 512,
        dropout: float = 0.5,
    ):
        super().__init__()
        channels, *size = input_shape
        smallest = 2 ** len(stages)
        if min(size) < smallest:
            raise ValueError(
                f"Images of {size[0]}x{size[1]} pixels are too small for a VGG with "
                f"{len(stages)} stages, which needs {smallest}x{smallest}. Pass fewer "
                "stages, or enlarge the images."
            )
        layers = []
        for widths in stages:
            for n_in, n_out in pairwise((channels, *widths)):
                layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            channels = widths[-1]
        self.features = nn.Sequential(*layers, nn.Flatten())
        n_features = channels * math.prod(side >> len(stages) for side in size)
        self.head = nn.Sequential(
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )
        self.apply(_init_reference)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, (n, n_classes)."""
        return self.head(self.features(x))


def _init_reference(layer: nn.Module) -> None:
    """Draw the weights as the reference recipe does."""
    if isinstance(layer, nn.Conv2d):
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (9 * layer.out_channels)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.01)
        nn.init.zeros_(layer.bias)
