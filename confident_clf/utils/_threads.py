# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a network is worth."""

from contextlib import contextmanager

import torch

# Below about so many floating-point operations for a batch, threads wait for each other
# longer than they work; on a busy machine, a hundred times longer.
MIN_FLOP = 2e8


def is_small(device, flop_per_batch):
    """Return whether a network is too small for more than one thread.

    Parameters
    ----------
    device : torch.device
        Where it computes.
    flop_per_batch : float
        Floating-point operations of a pass of one batch.

    Returns
    -------
    bool
        True for small networks on the CPU.
    """
    return device.type == "cpu" and flop_per_batch < MIN_FLOP


@contextmanager
def one_thread(limit):
    """Let torch use one thread for a while.

    Results then do not depend on how many there are, in a worker process or here. The
    number is the calling thread's; but a thread that torch first sees meanwhile starts,
    and stays, with one too.

    Parameters
    ----------
    limit : bool
        False leaves the number as it is.

    Yields
    ------
    None
        The number is restored in the end.
    """
    n_threads = torch.get_num_threads()
    if not limit or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
