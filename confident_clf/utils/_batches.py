# SPDX-License-Identifier: BSD-3-Clause
"""Batches that are slices of tensors in memory."""

import torch

# Rows to copy at once, in bytes.
CHUNK_BYTES = 2**20


def resident(tensors, device):
    """Return tensors on the device to train on, where that saves a copy a batch.

    Parameters
    ----------
    tensors : sequence of Tensor
        On the CPU.
    device : torch.device or str
        Where the networks are.

    Returns
    -------
    sequence of Tensor
        On a GPU, if they take no more than half of what is free there; else as given,
        and every batch is copied.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return tensors
    free, _ = torch.cuda.mem_get_info(device)
    if 2 * sum(tensor.nbytes for tensor in tensors) > free:
        return tensors
    return [tensor.to(device) for tensor in tensors]


class ShuffledBatches:
    """Iterate over shuffled batches of tensors by slicing them, epoch after epoch.

    A last batch of one sample is merged into the batch before it: BatchNorm, in the
    default discriminator among others, cannot learn from one sample.

    Parameters
    ----------
    tensors : sequence of Tensor
        All of the same length n >= 2.
    batch_size : int
        At least 2.
    """

    def __init__(self, tensors, batch_size):
        self.tensors = tensors
        self.batch_size = int(batch_size)  # torch takes no integer of NumPy's

    def __len__(self):
        n, size = len(self.tensors[0]), self.batch_size
        return max(1, n // size + (n % size > 1))

    def __iter__(self):
        # Drawn on the CPU, the same for every device.
        order = torch.randperm(len(self.tensors[0])).to(self.tensors[0].device)
        batches = list(order.split(self.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [torch.cat(batches[-2:])]
        # One copy of the rows of many batches, then views of it: for small rows, a copy
        # for each batch takes as long as a layer.
        row_bytes = sum(t[0].numel() * t.element_size() for t in self.tensors)
        n_at_once = max(1, CHUNK_BYTES // (row_bytes * self.batch_size))
        for start in range(0, len(batches), n_at_once):
            chunk = batches[start : start + n_at_once]
            sizes = [len(batch) for batch in chunk]
            rows = torch.cat(chunk)
            split = (tensor[rows].split(sizes) for tensor in self.tensors)
            yield from zip(*split, strict=True)


class EpochMeans:
    """Means of losses over an epoch, weighted by batch size.

    The losses stay on the device until the epoch is over: reading a number from a GPU
    makes it wait for all the work before.
    """

    def __init__(self):
        self.losses = {}
        self.sizes = []

    def add(self, losses, n):
        """Add the losses, dict of str to Tensor, of a batch of `n` samples."""
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value)
        self.sizes.append(n)

    def means(self):
        """Return the means, dict of str to float."""
        weights = torch.tensor(self.sizes, dtype=torch.float64)
        weights /= weights.sum()
        return {
            name: float(torch.stack(values).double().cpu() @ weights)
            for name, values in self.losses.items()
        }
