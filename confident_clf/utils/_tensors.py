# SPDX-License-Identifier: BSD-3-Clause
"""From arrays to tensors, and from pixels to floats."""

import warnings

import numpy as np
import torch
from torch import Tensor


def as_tensor(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the array's memory.

    The array may be read-only, such as a memory map: nothing here writes to it.
    """
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)


def as_array(x):
    """Return a tensor as an array; everything else is returned as it is."""
    if not isinstance(x, Tensor):
        return x
    # NumPy does not have bfloat16; the networks take float32 anyway.
    is_short = x.is_floating_point() and x.dtype.itemsize < 4
    return (x.float() if is_short else x).numpy(force=True)


def as_float(x: Tensor) -> Tensor:
    """Return a batch as float32, with uint8 pixels scaled from 0..255 to [0, 1].

    Batch by batch, so that the data itself stays uint8.
    """
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def move_learned(thing, device: str | torch.device) -> None:
    """Move the tensors in attributes whose names end in "_": those training sets.

    Others stay on the CPU, such as the user's OOD rows.
    """
    for name, value in vars(thing).items():
        if name.endswith("_") and not name.startswith("_"):
            vars(thing)[name] = to_device(value, device)


def to_device(value, device: str | torch.device):
    """Return a value with the tensors in it, also in lists and dicts, on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) is dict:
        return {name: to_device(part, device) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(to_device(part, device) for part in value)
    return value
