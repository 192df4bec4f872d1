# SPDX-License-Identifier: BSD-3-Clause
"""Run a network on any number of samples, the same whatever batch they come in."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from confident_clf.utils._tensors import as_tensor

# Numbers of samples that a batch may have, beside `inference_batch_size`. Large batches
# pay where calls are most of the cost, very small ones where they are least.
SIZES_OF_ROWS = (4, 32, 1024)
SIZES_OF_IMAGES = (2, 4, 32)
# A linear layer on fewer rows than this rounds like no other size.
MIN_ROWS = 4


def map_padded(function, array, *, device, sizes=None, workers=1):
    """Return what a function of batches says of all samples.

    How a matrix product rounds depends on its shape. With one shape for all batches,
    or with shapes that round alike, what is said of a sample does not depend on the
    samples beside it.

    Parameters
    ----------
    function : callable
        Maps a tensor to a tensor of the same length.
    array : ndarray of shape (n, ...)
        What to divide into batches, n >= 1; samples first.
    device : torch.device or str
        Where to compute.
    sizes : tuple of int or None, default=None
        Numbers of samples a batch may have, in ascending order; None: one for all.
    workers : int, default=1
        How many batches to work on at once, each in a thread of its own. Threads that
        share a batch wait for each other after every layer; these never do.

    Returns
    -------
    ndarray of shape (n, ...), float32
        The results.
    """
    sizes = sizes or (inference_batch_size(array.shape[1:]),)

    def on_batch(batch):
        start, size = batch
        part = as_tensor(array[start : start + size])
        x = _padded(part.to(device), size)
        with _rounding(size):
            # The array is not the network's to work in place on.
            result = function(x.clone() if x is part else x)
        return result[: len(part)].float().cpu().contiguous().numpy()

    first, *rest = _batches(len(array), sizes)
    result = on_batch(first)
    # Many small results between the large tensors of layers would keep these from being
    # given back: memory would grow with n.
    results = np.empty((len(array), *result.shape[1:]), np.float32)
    results[: len(result)] = result

    def keep(batch):
        start, size = batch
        results[start : start + size] = on_batch(batch)

    if workers == 1 or len(rest) <= 1:
        for batch in rest:
            keep(batch)
    else:
        with ThreadPoolExecutor(workers) as executor:
            list(executor.map(keep, rest))
    return results


def _batches(n, sizes):
    """Yield start and size of batches that cover n samples, the largest first."""
    start = 0
    while start < n:
        rest = n - start
        size = next((size for size in sizes if size >= rest), sizes[-1])
        # Rather one batch that is half empty than many small ones.
        if size > 2 * rest:
            size = max((size for size in sizes if size <= rest), default=size)
        yield start, size
        start += size


def _rounding(size):
    """Return the context in which a batch of some size rounds like others."""
    return _PaddedLinears() if size < MIN_ROWS else nullcontext()


class _PaddedLinears(TorchFunctionMode):
    """Let linear layers on very few rows compute some more."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.linear and args and args[0].ndim == 2:
            x, *others = args
            if len(x) < MIN_ROWS:
                return function(_padded(x, MIN_ROWS), *others, **kwargs)[: len(x)]
        return function(*args, **kwargs)


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
        Ascending; :func:`inference_batch_size` is one of them.
    """
    usual = inference_batch_size(input_shape)
    others = SIZES_OF_ROWS if len(input_shape) == 1 else SIZES_OF_IMAGES
    sizes = sorted({*others, usual})
    with torch.inference_mode():
        x = torch.rand(sizes[-1], *input_shape, device=device)
        expected = torch.cat([network(part.clone()) for part in x.split(usual)])

        def rounds_alike(size):
            n = max(size, usual)
            with _rounding(size):
                parts = x[:n].split(size)
                outputs = torch.cat([network(part.clone()) for part in parts])
            return torch.equal(outputs, expected[:n])

        return tuple(size for size in sizes if size == usual or rounds_alike(size))


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
