# SPDX-License-Identifier: BSD-3-Clause
"""Sheets of images on one pair of axes."""

import numpy as np

from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._types import SamplesLike

GAP = 0.12  # between images, in heights of an image


def as_images(
    caller: str, X: SamplesLike, image_shape: tuple[int, int, int] | None
) -> np.ndarray:
    """Return images of shape (n, H, W) or (n, H, W, 3), as matplotlib draws them.

    Numbers outside of [0, 1], other than uint8, are scaled to it, all images together.
    Raise ValueError if X does not hold images.
    """
    X = to_numpy(X)
    if X.dtype.kind not in "biuf":
        raise ValueError(
            f"{caller}: pixels must be numbers; X has dtype {X.dtype}. Pass arrays of "
            "numbers, not names of files."
        )
    if X.ndim == 2 and image_shape is not None:
        X = _rows_as_images(caller, X, image_shape)
    if X.ndim != 4 or X.shape[1] not in (1, 3) or len(X) == 0:
        raise ValueError(f"{caller} {_no_images(X.shape)}")
    if X.dtype != np.uint8:
        X = _in_unit_interval(caller, X)
    return X[:, 0] if X.shape[1] == 1 else X.transpose(0, 2, 3, 1)


def _rows_as_images(caller: str, X: np.ndarray, image_shape) -> np.ndarray:
    """Return rows in the shape of images; raise ValueError if they do not fit."""
    sizes = np.shape(image_shape), np.min(image_shape), np.prod(image_shape)
    if sizes != ((3,), max(sizes[1], 1), X.shape[1]):
        raise ValueError(
            f"{caller}: image_shape={image_shape!r} must be three positive integers "
            "(channels, height, width), whose product is the number of columns of X, "
            f"{X.shape[1]}."
        )
    return X.reshape(-1, *image_shape)


def _no_images(shape: tuple[int, ...]) -> str:
    """Return why samples of a shape cannot be drawn, and what else to do."""
    found = f"draws images, but X has shape {shape}. "
    if len(shape) == 2:
        return found + (
            "If the rows are images, pass image_shape=(channels, height, width). Rows "
            "of a table have no picture: draw two columns with ConfidenceMapDisplay, "
            "or the scores with ScoreDisplay."
        )
    if len(shape) == 4 and shape[-1] in (1, 3):
        return found + "Put the channels first: X.transpose(0, 3, 1, 2)."
    return found + (
        "Pass at least one image of one or three channels, (n, channels, height, "
        "width): images[:, None] adds a channel, X[:, :1] keeps the first."
    )


def _in_unit_interval(caller: str, X: np.ndarray) -> np.ndarray:
    """Return numbers scaled to [0, 1] by their range, unless they are in it."""
    X = X.astype(np.float64)
    low, high = X.min(), X.max()
    if not np.isfinite([low, high]).all():
        raise ValueError(
            f"{caller}: pixels must be finite; X holds {low if low != low else high}. "
            "Replace such pixels, or drop their images."
        )
    if low >= 0 and high <= 1:
        return X
    return (X - low) / max(high - low, np.finfo(float).tiny)


def sheet_figure(images: np.ndarray, n_columns: int, gap: float = GAP) -> dict:
    """Return size and layout of a figure for images, 0.6 inches high each."""
    n_rows, n_columns = -(-len(images) // n_columns), min(len(images), n_columns)
    width = images.shape[2] / images.shape[1] + GAP
    size = 0.6 * width * n_columns + 0.4, 0.6 * (1 + gap) * n_rows + 0.5
    return {"figsize": size, "layout": "constrained"}


def check_columns(n_columns: int) -> None:
    """Raise ValueError unless there is at least one column."""
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1; got {n_columns!r}.")


def draw_sheet(ax, images: np.ndarray, n_columns: int, gap: float = GAP, **kwargs):
    """Draw images row by row; return what matplotlib made, in the same order.

    `gap` is the space below each image, in heights of an image.
    """
    high = 255 if images.dtype == np.uint8 else 1
    style = {"cmap": "gray", "vmin": 0, "vmax": high} | kwargs
    width = images.shape[2] / images.shape[1]
    drawn = []
    for i, image in enumerate(images):
        row, column = divmod(i, n_columns)
        left, top = column * (width + GAP), -row * (1 + gap)
        place = (left, left + width, top - 1, top)
        drawn.append(ax.imshow(image, extent=place, **style))
    n_rows, n_columns = -(-len(images) // n_columns), min(len(images), n_columns)
    ax.set(
        xlim=(-GAP, n_columns * (width + GAP)),
        ylim=(-n_rows * (1 + gap), GAP),
        aspect="equal",
    )
    ax.set_axis_off()
    return drawn
