# SPDX-License-Identifier: BSD-3-Clause
"""A small convolutional classifier: the default for images.

BatchNorm would mix real and generated images, so no layer looks at other samples of the
batch. Weight standardisation with GroupNorm trains as well as BatchNorm.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from confident_clf.modules._sizes import n_halvings


class SmallConvNet(nn.Module):
    """Convolutional classifier for images of any size from 8x8 up.

    Its layers, in order:

    1. Stages, each of two 3x3 convolutions and a 2x2 max pooling. There are as many
       stages as it takes to bring the shorter side down to 4 to 7 pixels. Every
       convolution has standardised weights [1]_, then GroupNorm with one group, then
       ReLU.
    2. Dropout, a hidden fully connected layer with ReLU, and dropout again.
    3. A fully connected layer that returns the logits.

    The normalisation trains as well as BatchNorm, but the logits of a sample do not
    depend on the other samples of the batch.

    Parameters
    ----------
    input_shape : tuple of (channels, height, width)
        Shape of one image.
    n_classes : int
        Number of logits.
    width : int, default=32
        Channels of the first stage. Each further stage doubles them, up to 8 times
        `width`.
    hidden : int, default=128
        Width of the hidden layer.
    dropout : float, default=0.25
        Probability of dropping a unit, before and after the hidden layer.

    References
    ----------
    .. [1] S. Qiao, H. Wang, C. Liu, W. Shen and A. Yuille, "Micro-Batch Training with
       Batch-Channel Normalization and Weight Standardization", 2019.

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
        dropout: float = 0.25,
    ):
        super().__init__()
        channels, height, length = input_shape
        n_stages = n_halvings(height, length)
        widths = [channels, *(width * min(2**i, 8) for i in range(n_stages))]
        n_features = widths[-1] * math.prod(s >> n_stages for s in (height, length))
        self.features = nn.Sequential(
            *(_stage(n_in, n_out) for n_in, n_out in pairwise(widths)),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, (n, n_classes)."""
        return self.head(self.features(x))


class StandardizedConv2d(nn.Conv2d):
    """3x3 convolution; each filter is standardised to mean 0 and variance 1."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__(n_in, n_out, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the images convolved with the standardised filters."""
        weight = F.layer_norm(self.weight, self.weight.shape[1:])
        layout = torch.contiguous_format
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last
        # layer_norm loses the layout in memory, and so does an image of one channel.
        output = F.conv2d(x, weight.contiguous(memory_format=layout), padding=1)
        # Before torch 2.14 GroupNorm crashes in the other layout if its input needs no
        # gradient, which is so where the first convolution is frozen.
        if torch.is_grad_enabled() and not output.requires_grad:
            layout = torch.contiguous_format
        return output.contiguous(memory_format=layout)


def _stage(n_in: int, n_out: int) -> nn.Sequential:
    """Return two convolutions and a max pooling that halves height and width."""
    layers = []
    for channels in (n_in, n_out):
        layers += [
            StandardizedConv2d(channels, n_out),
            nn.GroupNorm(1, n_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))
