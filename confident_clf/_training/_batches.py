# SPDX-License-Identifier: BSD-3-Clause
"""Batches that are slices of tensors in memory, and means over them."""

from collections.abc import Iterator, Sequence

import torch
from skorch.dataset import Dataset
from torch import Tensor

from confident_clf._training._ranks import ranks_together
from confident_clf.utils._tensors import LazyTensor, row_bytes

# Rows to copy at once, in bytes.
CHUNK_BYTES = 2**20
_LOSSES_IN_ONE = 32


def resident(tensors: Sequence[Tensor], device: str | torch.device) -> Sequence[Tensor]:
    """Return the tensors on the GPU if they take at most half of its free memory.

    That saves a copy per batch. Otherwise they stay on the CPU, as do samples that are
    read when they are needed.
    """
    device = torch.device(device)
    is_lazy = any(isinstance(tensor, LazyTensor) for tensor in tensors)
    if device.type != "cuda" or is_lazy:
        return tensors
    free, _ = torch.cuda.mem_get_info(device)
    # torch keeps memory that it has freed, and uses it again.
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if 2 * sum(tensor.nbytes for tensor in tensors) > free:
        return tensors
    return [tensor.to(device) for tensor in tensors]


class Samples(Dataset):
    """Samples and labels as tensors; callbacks of skorch find them in `X` and `y`.

    A third tensor, if there is one, has the weight of each sample. The samples may be a
    LazyTensor.
    """

    def __init__(self, x: Tensor | LazyTensor, y: Tensor, *weight: Tensor):
        super().__init__(x, y)
        self.weight = weight

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Samples, labels and perhaps weights, as in a TensorDataset."""
        return self.X, self.y, *self.weight

    def batches(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches in order; of tensors they are views."""
        return zip(*(t.split(size) for t in self.tensors), strict=True)


class ShuffledBatches:
    """Iterate over shuffled batches of tensors by slicing them, epoch after epoch.

    The tensors have one length, at least 2. A last batch of one sample is merged into
    the batch before it: BatchNorm, in the default discriminator among others, cannot
    learn from one sample. Where several processes train together, each gets its part of
    every batch, at least two samples.
    """

    def __init__(self, tensors: Sequence[Tensor], batch_size: int):
        self.tensors = tensors
        self.batch_size = int(batch_size)  # torch does not take NumPy's integers
        self.ranks = ranks_together()
        self.least = 2 * self.ranks.size
        smaller = min(self.batch_size, len(tensors[0]))
        if self.ranks.size > 1 and smaller < self.least:
            raise ValueError(
                f"A batch has {smaller} samples, too few for {self.ranks.size} "
                "processes: each takes at least two. Use a larger batch_size, more "
                "samples or fewer processes."
            )

    def __len__(self) -> int:
        n, size = len(self.tensors[0]), self.batch_size
        return max(1, n // size + (n % size >= self.least))

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # Drawn on the CPU, so that it is the same for every device.
        order = self.ranks.of_first(torch.randperm(len(self.tensors[0])))
        batches = list(order.to(self.tensors[0].device).split(self.batch_size))
        if len(batches) > 1 and len(batches[-1]) < self.least:
            batches[-2:] = [torch.cat(batches[-2:])]
        parts = [batch[self.ranks.rank :: self.ranks.size] for batch in batches]
        for rows, batch in zip(self._rows(parts), batches, strict=True):
            self.ranks.weigh(len(rows[0]), len(batch))
            yield rows

    def _rows(self, batches: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the rows of each batch of row numbers."""
        # Copy the rows of many batches at once, then yield views of the copy. For small
        # rows, one copy per batch takes as long as a layer.
        n_bytes = sum(map(row_bytes, self.tensors))
        n_at_once = max(1, CHUNK_BYTES // (n_bytes * self.batch_size))
        starts = range(0, len(batches), n_at_once)
        chunks = [batches[start : start + n_at_once] for start in starts]
        rows = [torch.cat(chunk) for chunk in chunks]
        copies = zip(*(_each(tensor, rows) for tensor in self.tensors), strict=True)
        for chunk, tensors in zip(chunks, copies, strict=True):
            sizes = [len(batch) for batch in chunk]
            yield from zip(*(tensor.split(sizes) for tensor in tensors), strict=True)


def _each(x: Tensor | LazyTensor, parts: list[Tensor]) -> Iterator[Tensor]:
    """Yield copies of parts of the rows."""
    return x.each(parts) if isinstance(x, LazyTensor) else (x[rows] for rows in parts)


class EpochMeans:
    """Means of losses over an epoch, weighted by batch size.

    The losses stay on the device until the epoch ends: to read a number from a GPU is
    to wait for all the work before it. Many are put into one tensor: each by itself
    would lie between the large tensors of a step, and keep the system from taking the
    memory of these back.
    """

    def __init__(self):
        self._losses: dict[str, list[Tensor]] = {}  # tensors of one or more losses
        self.sizes: list[int] = []

    def add(self, losses: dict[str, Tensor], n: int) -> None:
        """Add the losses of a batch of `n` samples."""
        self.sizes.append(n)
        for name, value in losses.items():
            parts = self._losses.setdefault(name, [])
            parts.append(value.reshape(1))
            if len(self.sizes) % _LOSSES_IN_ONE == 0:
                parts[-_LOSSES_IN_ONE:] = [torch.cat(parts[-_LOSSES_IN_ONE:])]

    def names(self) -> list[str]:
        """Return the names of the losses."""
        return list(self._losses)

    def values(self, name: str) -> Tensor:
        """Return the values of a loss, one for each batch."""
        return torch.cat(self._losses[name])

    def means(self) -> dict[str, float]:
        """Return the mean of each loss, over all processes that train together."""
        sizes = torch.tensor(self.sizes, dtype=torch.float64)
        sums = [
            self.values(name).cpu().double() @ sizes  # MPS has no float64
            for name in self.names()
        ]
        totals = ranks_together().sum(torch.stack([*sums, sizes.sum()]))
        means = (totals[:-1] / totals[-1]).tolist()
        return dict(zip(self.names(), means, strict=True))
