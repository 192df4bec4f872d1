# SPDX-License-Identifier: BSD-3-Clause
"""The units of images: the range of their pixels, and whether a batch has another."""

import warnings
from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakSet

import numpy as np

from confident_clf.utils._lazy import LazyRows, blocks_of

# A batch of this many images or more is compared with nearly all training images, and
# a smaller one with all of them: a few images may well be unusual.
_MANY, _NEARLY_ALL = 10, 0.95
# Share of pixels that may be far outside the range: one pixel may be broken.
_MOST_OUTSIDE = 0.01

# The nets whose users were warned: a fitted model itself must not change.
_warned: WeakSet = WeakSet()


class PixelRange(NamedTuple):
    """The range of the pixels of images, as the networks see them.

    `low` and `high` are the smallest and largest pixel. Of all images, and of nearly
    all, `darkest` is the largest value that their darkest pixels stay below, and
    `lightest` the smallest that their lightest pixels stay above.
    """

    low: float
    high: float
    darkest_of_all: float
    darkest_of_most: float
    lightest_of_all: float
    lightest_of_most: float

    @classmethod
    def of(cls, X: np.ndarray | LazyRows) -> "PixelRange":
        """Return the range of images, float or uint8."""
        scale = scale_of(X)
        pairs = [(part.min(axis=1), part.max(axis=1)) for part in _flat_parts(X)]
        least, most = (
            np.concatenate(side) / scale for side in zip(*pairs, strict=True)
        )
        return cls(
            *map(
                float,
                (
                    least.min(),
                    most.max(),
                    least.max(),
                    np.quantile(least, _NEARLY_ALL),
                    most.min(),
                    np.quantile(most, 1 - _NEARLY_ALL),
                ),
            )
        )

    def widened(self, other: "PixelRange") -> "PixelRange":
        """Return a range for these images and others."""
        larger = (False, True, True, True, False, False)
        pairs = zip(self, other, larger, strict=True)
        return PixelRange(*(max(a, b) if up else min(a, b) for a, b, up in pairs))

    def is_other(self, X: np.ndarray) -> bool:
        """Return whether images are plainly in other units.

        That is: many pixels are far outside the range; or none is negative, though
        every image had some that were; or the lightest is ten times darker than the
        lightest of every image, as where one divides by 255 once too often.
        """
        scale, span = scale_of(X), self.high - self.low
        low, high = float(X.min()) / scale, float(X.max()) / scale
        if low == high or span == 0:
            return False
        many = len(X) >= _MANY
        darkest = self.darkest_of_most if many else self.darkest_of_all
        lightest = self.lightest_of_most if many else self.lightest_of_all
        if low >= 0 > darkest + 0.05 * span:
            return True
        if high - self.low < 0.1 * (lightest - self.low):
            return True
        least, most = self.low - span / 2, self.high + span / 2
        if least <= low and high <= most:
            return False
        outside = (X < least * scale) | (X > most * scale)
        return float(outside.mean()) > _MOST_OUTSIDE


def _flat_parts(X: np.ndarray | LazyRows) -> Iterator[np.ndarray]:
    """Yield the images in parts, each image as a row."""
    return (part.reshape(len(part), -1) for part in blocks_of(X))


def scale_of(X: np.ndarray | LazyRows) -> int:
    """Return what pixels are divided by before the networks see them."""
    return 255 if X.dtype == np.uint8 else 1


def warn_of_units(pixels: PixelRange | None, X: np.ndarray, net) -> None:
    """Warn, once for a trained net, if images are plainly in other units."""
    if pixels is None or net in _warned or not pixels.is_other(X):
        return
    scale = scale_of(X)
    warnings.warn(
        f"X has pixels from {X.min() / scale:.3g} to {X.max() / scale:.3g}; in fit "
        f"they were from {pixels.low:.3g} to {pixels.high:.3g}. That looks like other "
        "units: scale X as in fit. Ignore this if X is meant to be unlike the "
        "training data. It is said once for a fitted classifier.",
        UserWarning,
        stacklevel=2,
    )
    _warned.add(net)  # not if warnings are errors: each call raises then
