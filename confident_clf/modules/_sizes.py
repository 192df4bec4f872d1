# SPDX-License-Identifier: BSD-3-Clause
"""How often an image is halved on its way through a convolutional network."""

MIN_IMAGE_SIZE = 8


def n_halvings(height: int, width: int) -> int:
    """Return how often the shorter side can be halved and keep at least 4 pixels."""
    return min(height, width).bit_length() - 3
