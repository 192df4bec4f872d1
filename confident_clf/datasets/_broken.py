# SPDX-License-Identifier: BSD-3-Clause
"""Rows and images that are broken, as sensors, spreadsheets and lenses break them."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_array

from confident_clf.datasets._broken_images import ways_to_break_images
from confident_clf.datasets._broken_rows import (
    ways_to_break_frames,
    ways_to_break_rows,
)


def broken(
    X: ArrayLike,
    kind: str | list[str] = "all",
    *,
    reference: ArrayLike | None = None,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> Bunch:
    """Break rows or images in ways that happen in practice.

    Each way makes one unknown set out of X. Samples that did not change are left out.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features), or array-like of \
            shape (n_samples, channels, height, width)
        Rows in their original units, or images: uint8, or floats from 0 to 1. The
        columns of a DataFrame that are not numbers are shuffled, and stay as they are
        otherwise. Missing numbers stay missing. X itself does not change.
    kind : str or list of str, default="all"
        The ways to break X. Rows: "x 1000", "/ 1000", "x 10", "sign" (the other sign)
        and "zero" for one number of each row, "swapped" (two numbers of each row
        change places), "10 sd away" (all numbers together, 10 standard deviations in a
        random direction), "uniform" (all numbers, in their range) and "shuffled" (each
        column on its own). Images: "black", "white", "one colour", "negative", and one
        half of each image, at a random side, as "half black", "half white" and "half
        coloured". A kind is the same for one seed, alone or among others.
    reference : array-like or DataFrame of shape (n_rows, n_features), default=None
        Rows whose standard deviations and ranges are used by "10 sd away" and
        "uniform", such as the training rows; None for X itself. Not for images.
    random_state : int, Generator, RandomState instance or None, default=None
        Draws places, directions and colours.

    Returns
    -------
    Bunch
        ``X_ood`` is a dict from each kind to the samples that changed, in the order of
        X, and ``changed`` a dict from each kind to a mask of these in X.

    See Also
    --------
    load_digits_ood : Digits, some of them as unknown.

    Examples
    --------
    >>> from confident_clf.datasets import broken, load_wine_ood
    >>> wine = load_wine_ood(random_state=0)
    >>> sets = broken(wine.X_test, ["x 1000", "swapped"], random_state=0)
    >>> {name: X.shape for name, X in sets.X_ood.items()}
    {'x 1000': (33, 13), 'swapped': (33, 13)}
    >>> int(sets.changed["swapped"].sum())
    33
    """
    rng = _generator(random_state)
    if hasattr(X, "iloc"):
        rows = X if reference is None else reference
        ways = ways_to_break_frames(X, rows, rng)
    else:
        X = check_array(X, allow_nd=True, ensure_all_finite="allow-nan")
        ways = _ways_to_break_arrays(X, reference, rng)
    bunch = Bunch(X_ood={}, changed={})
    for name in _kinds(kind, list(ways)):
        samples, changed = ways[name]()
        bunch.X_ood[name], bunch.changed[name] = samples[changed], changed
    return bunch


def _ways_to_break_arrays(X, reference, rng) -> dict:
    """Return the ways to break an array of rows or of images."""
    if X.ndim == 2:
        rows = X if reference is None else reference
        return ways_to_break_rows(X, rows, rng)
    if X.ndim != 4:
        raise ValueError(
            f"X has shape {X.shape}. Give rows (n, features) or images (n, channels, "
            "height, width)."
        )
    if reference is not None:
        raise ValueError("reference is for rows, and X has images. Leave it out.")
    return ways_to_break_images(X, rng)


def _kinds(kind, names: list[str]) -> list[str]:
    """Return the names of the kinds that are asked for."""
    if isinstance(kind, str) and kind == "all":
        return names
    wanted = [kind] if isinstance(kind, str) else list(kind)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(
            f"kind={kind!r} names {missing[0]!r}, which is not a way to break this X. "
            f'Choose among {names}, or "all".'
        )
    return wanted


def _generator(random_state) -> np.random.Generator:
    """Return a generator, also from a RandomState as scikit-learn uses it."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31)
    return np.random.default_rng(random_state)
