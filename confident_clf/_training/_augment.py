# SPDX-License-Identifier: BSD-3-Clause
"""Random views of training images, drawn for each image of a batch on its own.

The transforms of torchvision draw once for a whole batch. To call one for each image
would take longer than a step of a small network.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def flip(x: Tensor) -> Tensor:
    """Return the images (n, c, h, w), each mirrored left to right half of the time."""
    mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
    return torch.where(mirrored, x.flip(-1), x)


def crop(x: Tensor) -> Tensor:
    """Return the images (n, c, h, w), each shifted by up to an eighth of its size.

    Zeros come in from outside.
    """
    n, channels, height, width = x.shape
    pad = min(height, width) // 8  # 4 pixels of 32, as is usual
    top, left = torch.randint(2 * pad + 1, (2, n, 1), device=x.device)
    rows = top + torch.arange(height, device=x.device)  # (n, height)
    columns = left + torch.arange(width, device=x.device)  # (n, width)
    image = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(channels, device=x.device)[:, None, None]
    padded = F.pad(x, (pad,) * 4)
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def flip_crop(x: Tensor) -> Tensor:
    """Return the images, each mirrored half of the time, then shifted."""
    return crop(flip(x))


AUGMENTATIONS = {"flip": flip, "flip_crop": flip_crop}


def resolve_augment(augment, input_shape: tuple[int, ...]) -> Callable | None:
    """Return the function of a batch that the parameter `augment` means.

    Raises ValueError if it is a name and the samples are not images.
    """
    if not isinstance(augment, str):
        return augment
    if len(input_shape) != 3:
        raise ValueError(
            f"augment={augment!r} is for images; samples have shape {input_shape}. "
            "Leave it out, pass your own function of a batch, or say with image_shape "
            "that rows are images."
        )
    return AUGMENTATIONS[augment]
