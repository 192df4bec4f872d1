# SPDX-License-Identifier: BSD-3-Clause
"""From arrays to tensors, and from pixels to numbers."""

import warnings

import torch


def as_tensor(array):
    """Return a tensor that shares the memory of a NumPy array.

    Parameters
    ----------
    array : ndarray
        May be read-only, such as a memory map; nothing here writes to it.

    Returns
    -------
    Tensor
        Of the same shape and dtype.
    """
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)


def as_float(x):
    """Return samples as float32, uint8 pixels scaled from 0..255 to [0, 1].

    Parameters
    ----------
    x : Tensor, uint8 or float32
        A batch; scaling batch by batch keeps the data itself in uint8.

    Returns
    -------
    Tensor, float32
        Of the same shape.
    """
    return x.float().div_(255) if x.dtype == torch.uint8 else x
