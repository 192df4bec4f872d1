# SPDX-License-Identifier: BSD-3-Clause
"""Run a network on any number of samples, with the same result in any batch."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from confident_clf.utils._lazy import in_turn
from confident_clf.utils._tensors import as_tensor

# Batch sizes to try besides `inference_batch_size`. Large batches pay where calls are
# most of the cost, very small ones where they are least.
SIZES_OF_ROWS = (4, 32, 1024)
SIZES_OF_IMAGES = (2, 4, 32)
# A linear layer on fewer rows than this rounds like no other size.
MIN_ROWS = 4
# A network that takes longer than this for a batch, in seconds, is tried on few others.
_SLOW = 0.3

# The sizes that were found, by network. Predicting must not change a classifier.
_found: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()


def map_padded(
    function: Callable[[Tensor], Tensor],
    array: np.ndarray,
    *,
    device: str | torch.device,
    sizes: tuple[int, ...] | None = None,
    workers: int = 1,
    pad: bool = True,
) -> np.ndarray:
    """Return the outputs of a function of batches for all samples, (n, ...) float32.

    How a matrix product rounds depends on its shape. With one shape for all batches, or
    with `sizes` that round alike, the output of a sample does not depend on the samples
    next to it. `workers` is how many batches run at once, each in a thread of its own:
    threads that share a batch wait for each other after every layer; these never do.

    Without `pad` a batch has as many rows as there are: one sample takes no longer than
    through the bare network, but may be rounded differently alone than among others.
    Where a GPU has too little memory for a batch, its halves are tried: they may be
    rounded differently, too.
    """
    usual = inference_batch_size(array.shape[1:], device)
    if not pad and array.ndim == 2:
        usual = max(usual, SIZES_OF_ROWS[-1])  # nothing is lost by a large one
    sizes = sizes or (usual,)

    def on_batch(samples, size):
        try:
            return compute(samples, size)
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
        half = size // 2
        halves = (samples[:half], half), (samples[half:], size - half)
        return np.concatenate([on_batch(*h) for h in halves if len(h[0])])

    def compute(samples, size):
        part = as_tensor(samples)
        x = part.to(device)
        if pad:
            x = _padded(x, size)
        with _rounding(size) if pad else nullcontext():
            # The network may work in place, but not on the user's array.
            result = function(x.clone() if x is part else x)
        return result[: len(part)].float().cpu().contiguous().numpy()

    first, *rest = _batches(len(array), sizes)
    result = on_batch(array[: first[1]], first[1])
    # Small results between the large tensors of layers would keep the memory of these
    # from being given back, and it would grow with n.
    results = np.empty((len(array), *result.shape[1:]), np.float32)
    results[: len(result)] = result

    def keep(batch, samples):
        start, size = batch
        results[start : start + size] = on_batch(samples, size)

    parts = [np.s_[start : start + size] for start, size in rest]
    if workers == 1 or len(rest) <= 1:
        for batch, samples in zip(rest, in_turn(array, parts), strict=True):
            keep(batch, samples)
    else:
        with ThreadPoolExecutor(workers) as executor:
            list(executor.map(keep, rest, (array[part] for part in parts)))
    return results


def _batches(n: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield start and size of batches that cover n samples, the largest first."""
    start = 0
    while start < n:
        rest = n - start
        size = next((size for size in sizes if size >= rest), sizes[-1])
        # One batch that is half empty is better than many small ones.
        if size > 2 * rest:
            size = max((size for size in sizes if size <= rest), default=size)
        yield start, size
        start += size


def _rounding(size: int):
    """Return the context in which a batch of this size rounds like larger ones."""
    return _PaddedLinears() if size < MIN_ROWS else nullcontext()


class _PaddedLinears(TorchFunctionMode):
    """Pad the input of linear layers on very few rows."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.linear and args and args[0].ndim == 2:
            x, *others = args
            if len(x) < MIN_ROWS:
                return function(_padded(x, MIN_ROWS), *others, **kwargs)[: len(x)]
        return function(*args, **kwargs)


def _padded(batch: Tensor, size: int) -> Tensor:
    """Return a batch of `size` samples: the given ones, then zeros."""
    if len(batch) == size:
        return batch
    return torch.cat([batch, batch.new_zeros(size - len(batch), *batch.shape[1:])])


def sizes_for(
    network: nn.Module,
    results: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    device: str | torch.device,
) -> tuple[int, ...] | None:
    """Return the batch sizes for samples of this shape, (n, ...), by a trial if needed.

    None means the usual size. A network is tried once; more training changes nothing,
    as sizes depend on shapes and not on weights.
    """
    n, input_shape = shape[0], shape[1:]
    found = _found.setdefault(network, {})
    key = (*environment(device), *input_shape)
    if key in found:
        return found[key]
    usual = inference_batch_size(input_shape, device)
    if n == usual or (n > usual and max(_other_sizes(input_shape)) <= usual):
        return None  # nothing could be saved but a part of the last batch
    try:
        found[key] = sizes_that_round_alike(results, input_shape, device)
    except torch.cuda.OutOfMemoryError:
        found[key] = None  # the usual batch is halved until it fits
    return found[key]


def _other_sizes(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the batch sizes to try besides the usual one."""
    return SIZES_OF_ROWS if len(input_shape) == 1 else SIZES_OF_IMAGES


def sizes_that_round_alike(
    network: Callable[[Tensor], Tensor],
    input_shape: tuple[int, ...],
    device: str | torch.device,
) -> tuple[int, ...]:
    """Return the batch sizes, ascending, that give a sample the same results.

    Tries them on random samples. A single sample then need not be padded to a large
    batch where a small one gives the same result to the bit. The network must be in
    evaluation mode. :func:`inference_batch_size` is always one of the sizes. Of a slow
    network, and on a GPU, where the usual batch is large, only the first and the last
    batch of each other size are tried. So the trial takes little longer than the one
    large batch that a sample would be padded to.
    """
    usual = inference_batch_size(input_shape, device)
    sizes = sorted({*_other_sizes(input_shape), usual})
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        x = torch.rand(sizes[-1], *input_shape, generator=generator).to(device)
        start = time.perf_counter()
        expected = torch.cat([network(part.clone()) for part in x.split(usual)])
        tries_few = expected.is_cuda or time.perf_counter() - start > _SLOW

        def rounds_alike(size):
            n = max(size, usual)
            starts = {0, n - size} if tries_few else range(0, n, size)
            batches = (slice(start, start + size) for start in starts)
            with _rounding(size):
                return all(
                    torch.equal(network(x[batch].clone()), expected[batch])
                    for batch in batches
                )

        return tuple(size for size in sizes if size == usual or rounds_alike(size))


def environment(device: str | torch.device) -> tuple:
    """Return what rounding depends on besides the shape, as far as that is known.

    That is torch's version, the CPU's instructions, number of threads, and device; of
    a GPU also its model, and whether it may compute in TF32.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    here = torch.__version__, capability, torch.get_num_threads(), str(device)
    if torch.device(device).type != "cuda":
        return here
    return *here, torch.cuda.get_device_name(device), *_precisions()


def _precisions() -> tuple:
    """Return how a GPU may round products of float32: in full, or to TF32.

    torch refuses the old way to ask once somebody has set it in the new way.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # from torch 2.9 on
        return matmul.fp32_precision, cudnn.conv.fp32_precision
    return matmul.allow_tf32, cudnn.allow_tf32


def inference_batch_size(
    input_shape: tuple[int, ...], device: str | torch.device
) -> int:
    """Return how many samples go through the network at once at inference.

    A power of two from 32 to 4096, less for larger samples. On the CPU, data that stay
    in the cache are faster, and one sample, padded to a batch, should not cost much
    more than alone. A GPU needs many numbers at once to have enough to do.
    """
    n_numbers = 2**21 if torch.device(device).type == "cuda" else 2**13
    exponent = math.log2(n_numbers / math.prod(input_shape))
    return 2 ** int(np.clip(exponent, 5, 12))
