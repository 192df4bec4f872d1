# SPDX-License-Identifier: BSD-3-Clause
"""Splits that leave no class without training rows."""

import numpy as np


def keep_classes(
    train: np.ndarray,
    held_out: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both parts; each label of y has rows in the first.

    All rows of a label that has none there move to it; with groups, the whole groups of
    these rows do.
    """
    only_held_out = np.setdiff1d(y[held_out], y[train])
    moves = np.isin(y[held_out], only_held_out)
    if groups is not None:
        moves = np.isin(groups[held_out], groups[held_out][moves])
    return np.append(train, held_out[moves]), held_out[~moves]
