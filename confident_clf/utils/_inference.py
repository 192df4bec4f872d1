# SPDX-License-Identifier: BSD-3-Clause
"""Run a network on any number of samples, the same whatever batch they come in."""

import math

import numpy as np
import torch

from confident_clf.utils._tensors import as_tensor


def map_padded(function, *arrays, device):
    """Return what a function of batches says of all samples.

    How a matrix product rounds depends on its shape. With one shape for all batches,
    what is said of a sample does not depend on the samples beside it.

    Parameters
    ----------
    function : callable
        Maps tensors of one length to a tensor of that length.
    *arrays : ndarrays of shape (n, ...)
        What to divide into batches, n >= 1; samples first.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    ndarray of shape (n, ...), float32
        The results.
    """
    size = inference_batch_size(arrays[0].shape[1:])
    results = []
    for start in range(0, len(arrays[0]), size):
        parts = [as_tensor(array[start : start + size]) for array in arrays]
        result = function(*(_padded(part.to(device), size) for part in parts))
        results.append(result[: len(parts[0])].float().cpu().contiguous().numpy())
    return np.concatenate(results)


def _padded(batch, size):
    """Return a batch with zeros after it, `size` in all."""
    return torch.cat([batch, batch.new_zeros(size - len(batch), *batch.shape[1:])])


def inference_batch_size(input_shape):
    """Return how many samples go through the network at once when predicting.

    A power of two from 32 to 512, less for larger samples: one sample of a large image,
    padded to a batch, should not cost much more than alone.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    int
        The number.
    """
    exponent = math.log2(2**15 / math.prod(input_shape))
    return 2 ** int(np.clip(exponent, 5, 9))
