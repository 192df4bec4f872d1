# SPDX-License-Identifier: BSD-3-Clause
"""Ways to break images."""

import numpy as np


def ways_to_break_images(X, rng) -> dict:
    """Return a function for each kind, which returns broken images and a mask.

    All draws are made here, so that a kind does not depend on which others are made.
    """
    white = _white(X)
    colour = rng.integers(0, 256, (*X.shape[:2], 1, 1), dtype=np.uint8)
    colour = (colour if white == 255 else colour / 255).astype(X.dtype)
    half = _half_of(X.shape, rng)
    white = X.dtype.type(white)
    ways = {
        "black": lambda: np.zeros_like(X),
        "white": lambda: np.full_like(X, white),
        "one colour": lambda: np.broadcast_to(colour, X.shape),
        "negative": lambda: white - X,
        "half black": lambda: np.where(half, X.dtype.type(0), X),
        "half white": lambda: np.where(half, white, X),
        "half coloured": lambda: np.where(half, colour, X),
    }
    return {kind: _with_mask(way, X) for kind, way in ways.items()}


def _with_mask(way, X):
    """Return a function that also returns which images differ from those of X."""

    def both():
        images = way()
        return images, (images != X).any(axis=(1, 2, 3))

    return both


def _white(X) -> int:
    """Return the lightest pixel that images may have."""
    if X.dtype == np.uint8:
        return 255
    if X.dtype.kind != "f" or not (X.min() >= 0 and X.max() <= 1):
        raise ValueError(
            f"X has images of dtype {X.dtype} from {X.min()} to {X.max()}. Give uint8, "
            "or floats from 0 to 1."
        )
    return 1


def _half_of(shape, rng):
    """Return a mask of one half of each image, at a random side."""
    n, _, height, width = shape
    side = rng.integers(4, size=(n, 1, 1, 1))
    upper = (np.arange(height) < height // 2)[:, None]
    left = np.arange(width) < width // 2
    return np.select(
        [side == 0, side == 1, side == 2],
        [upper, ~upper, left],
        default=~left,
    )
