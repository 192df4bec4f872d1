# SPDX-License-Identifier: BSD-3-Clause
"""From arrays to tensors, and from pixels to floats."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from confident_clf.utils._lazy import LazyRows, std_of_columns


def as_tensor(array: np.ndarray | LazyRows) -> Tensor:
    """Return a tensor that shares the array's memory; lazy samples are read.

    The array may be read-only, such as a memory map: nothing here writes to it.
    """
    array = np.asarray(array)
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


class LazyTensor:
    """Samples that look like a tensor on the CPU; what is indexed is read."""

    device = torch.device("cpu")

    def __init__(self, rows: LazyRows):
        self.rows = rows
        self.shape = torch.Size(rows.shape)
        self.dtype = as_tensor(np.empty(0, rows.dtype)).dtype

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ndim(self) -> int:
        """Number of dimensions, as of a tensor."""
        return len(self.shape)

    def element_size(self) -> int:
        """Return the bytes of one number."""
        return self.dtype.itemsize

    def __getitem__(self, rows) -> Tensor:
        """Read some rows: a slice, or a tensor of their numbers."""
        rows = rows.numpy() if isinstance(rows, Tensor) else rows
        return as_tensor(self.rows[rows])

    def each(self, parts: list[Tensor]) -> Iterator[Tensor]:
        """Read parts of the rows, one after the other; workers may read ahead."""
        return map(as_tensor, self.rows.each([part.numpy() for part in parts]))

    def split(self, size: int) -> Iterator[Tensor]:
        """Read the samples in parts of some size."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def blocks(self) -> Iterator[Tensor]:
        """Read the samples in parts that are small enough to hold."""
        return map(as_tensor, self.rows.blocks())


def to_samples(X: np.ndarray | LazyRows) -> Tensor | LazyTensor:
    """Return samples as a tensor, lazy ones as a lazy one."""
    return LazyTensor(X) if isinstance(X, LazyRows) else as_tensor(X)


def row_bytes(x: Tensor | LazyTensor) -> int:
    """Return how many bytes one sample takes."""
    return math.prod(x.shape[1:]) * x.element_size()


def extremes(x: Tensor | LazyTensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the smallest and largest number over `dims`, the first among them.

    The dimensions are kept, with size 1.
    """
    if isinstance(x, Tensor):
        return torch.amin(x, dims, keepdim=True), torch.amax(x, dims, keepdim=True)
    lows, highs = zip(*(extremes(part, dims) for part in x.blocks()), strict=True)
    return torch.cat(lows).amin(0, keepdim=True), torch.cat(highs).amax(0, keepdim=True)


def std_and_mean(x: Tensor | LazyTensor) -> tuple[Tensor, Tensor]:
    """Return the standard deviation and the mean of each column of rows."""
    if isinstance(x, Tensor):
        return torch.std_mean(x, dim=0, correction=0)
    std, mean = (f.astype(np.float32) for f in std_of_columns(x.rows))
    return as_tensor(std), as_tensor(mean)
