# SPDX-License-Identifier: BSD-3-Clause
"""Batches that are slices of tensors in memory."""

import torch


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
        self.batch_size = batch_size

    def __len__(self):
        n, size = len(self.tensors[0]), self.batch_size
        return max(1, n // size + (n % size > 1))

    def __iter__(self):
        order = torch.randperm(len(self.tensors[0]))
        batches = list(order.split(self.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [torch.cat(batches[-2:])]
        for index in batches:
            yield tuple(tensor[index] for tensor in self.tensors)


class EpochMeans:
    """Means of losses over an epoch, weighted by batch size.

    Sums stay on the device until the epoch is over: reading a number from a GPU makes
    it wait for all the work before.
    """

    def __init__(self):
        self.sums = {}
        self.n = 0

    def add(self, losses, n):
        """Add the losses, dict of str to Tensor, of a batch of `n` samples."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * n
        self.n += n

    def means(self):
        """Return the means, dict of str to float."""
        return {name: total.item() / self.n for name, total in self.sums.items()}
