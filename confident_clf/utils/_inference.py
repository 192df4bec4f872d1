# SPDX-License-Identifier: BSD-3-Clause
"""Run a network on any number of samples, the same whatever batch they come in."""

import math

import numpy as np
import torch

from confident_clf.utils._tensors import as_tensor

# Numbers of samples, beside that of a large batch, that a batch may have.
SMALL_SIZES = (4, 32)


def map_padded(function, *arrays, device, sizes=None):
    """Return what a function of batches says of all samples.

    How a matrix product rounds depends on its shape. With one shape for all batches,
    or with shapes that round alike, what is said of a sample does not depend on the
    samples beside it.

    Parameters
    ----------
    function : callable
        Maps tensors of one length to a tensor of that length.
    *arrays : ndarrays of shape (n, ...)
        What to divide into batches, n >= 1; samples first.
    device : torch.device or str
        Where to compute.
    sizes : tuple of int or None, default=None
        Numbers of samples a batch may have, in ascending order; None: one for all.

    Returns
    -------
    ndarray of shape (n, ...), float32
        The results.
    """
    sizes = sizes or (inference_batch_size(arrays[0].shape[1:]),)
    results = []
    for start, size in _batches(len(arrays[0]), sizes):
        parts = [as_tensor(array[start : start + size]) for array in arrays]
        result = function(*(_padded(part.to(device), size) for part in parts))
        results.append(result[: len(parts[0])].float().cpu().contiguous().numpy())
    return np.concatenate(results)


def _batches(n, sizes):
    """Yield start and size of batches that cover n samples, the largest first."""
    start = 0
    for size in reversed(sizes):
        # Only the smallest may have to be padded.
        while n - start >= size or (size == sizes[0] and start < n):
            yield start, size
            start += size


def _padded(batch, size):
    """Return a batch with zeros after it, `size` in all."""
    if len(batch) == size:
        return batch
    return torch.cat([batch, batch.new_zeros(size - len(batch), *batch.shape[1:])])


def sizes_that_round_alike(network, input_shape, device):
    """Return the numbers of samples in a batch that give a sample the same logits.

    Found by trying, on random samples: one that is alone need not be padded to a large
    batch where a small one gives the same to the bit.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    input_shape : tuple of int
        Shape of one sample.
    device : torch.device or str
        Its device.

    Returns
    -------
    tuple of int
        Ascending; the last is that of large batches.
    """
    largest = inference_batch_size(input_shape)
    with torch.inference_mode():
        x = torch.rand(largest, *input_shape, device=device)
        expected = network(x)
        return tuple(
            size
            for size in sorted({*SMALL_SIZES, largest})
            if size == largest
            or torch.equal(
                torch.cat([network(part) for part in x.split(size)]), expected
            )
        )


def environment(device):
    """Return what rounding depends on beside the shape, as far as it is known.

    Parameters
    ----------
    device : torch.device or str
        Where the network computes.

    Returns
    -------
    tuple
        Version of torch, instructions and number of threads, device.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    return torch.__version__, capability, torch.get_num_threads(), str(device)


def inference_batch_size(input_shape):
    """Return how many samples go through the network at once when predicting.

    A power of two from 32 to 4096, less for larger samples: what stays in the cache is
    faster, and one sample, padded to a batch, should not cost much more than alone.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    int
        The number.
    """
    exponent = math.log2(2**13 / math.prod(input_shape))
    return 2 ** int(np.clip(exponent, 5, 12))
