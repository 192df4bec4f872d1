# SPDX-License-Identifier: BSD-3-Clause
"""Splits that leave no class without training rows."""

import numpy as np


def keep_classes(
    train: np.ndarray, held_out: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both parts; all rows of a label that `train` lacks move there."""
    moves = np.isin(y[held_out], np.setdiff1d(y[held_out], y[train]))
    return np.append(train, held_out[moves]), held_out[~moves]
