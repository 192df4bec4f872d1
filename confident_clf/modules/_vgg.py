# SPDX-License-Identifier: BSD-3-Clause
"""VGGNet [1]_, by default the 13 layers of the paper's reference recipe.

References
----------
.. [1] K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale
   Image Recognition", ICLR 2015, configuration B.
"""

import math
from itertools import pairwise

from torch import Tensor, nn


class VGG(nn.Module):
    """VGG classifier without normalisation, three fully connected layers on top.

    The defaults are the VGG13 of the reference recipe: stages of 3x3 convolutions with
    64, 128, 256, 512 and 512 channels, each ending in a 2x2 maximum; then 512-512-K
    with two dropouts. Weights are normal with a standard deviation of sqrt(2 / (9 *
    channels)) in convolutions, of 0.01 in fully connected layers; biases are zero.

    Parameters
    ----------
    input_shape : tuple of (channels, height, width)
        Shape of one image; every stage halves it, so that the default needs 32x32.
    n_classes : int
        Number of logits.
    stages : tuple of tuple of int, default: two layers in each of five stages
        Output channels of the convolutions of each stage.
    hidden : int, default=512
        Width of the fully connected layers.
    dropout : float, default=0.5
        Probability to drop a unit before each of the two hidden layers.

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
                f"Images of {size[0]}x{size[1]} pixels are too small for a VGG of "
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
            nn.Dropout(dropout),
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, n_classes),
        )
        self.apply(_init_reference)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (n, n_classes), of images."""
        return self.head(self.features(x))


def _init_reference(layer: nn.Module) -> None:
    """Draw the weights as the reference recipe does."""
    if isinstance(layer, nn.Conv2d):
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (9 * layer.out_channels)))
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.01)
        nn.init.zeros_(layer.bias)
