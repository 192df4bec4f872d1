# SPDX-License-Identifier: BSD-3-Clause
"""How often a convolutional network halves its images."""

MIN_IMAGE_SIZE = 8


def n_halvings(height: int, width: int) -> int:
    """Return how often the shorter side can be halved to no less than 4 pixels."""
    return min(height, width).bit_length() - 3
