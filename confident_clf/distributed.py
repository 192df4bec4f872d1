# SPDX-License-Identifier: BSD-3-Clause
"""Train a classifier in several processes, on one machine or on many."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed as dist

from confident_clf._training._ranks import Ranks, _together

__all__ = ["data_parallel"]


@contextmanager
def data_parallel(timeout: float = 600) -> Iterator[int]:
    """Let the processes that torchrun started train each classifier together.

    Inside, every `fit` of a :class:`~confident_clf.ConfidentClassifier` is shared by
    all processes. Each takes its part of every batch, and the gradients of every
    network are averaged before it makes its step. So `batch_size` keeps its meaning,
    and the classifier is the one that a single process would train, up to rounding,
    the random numbers of the processes and BatchNorm, whose statistics are those of a
    part of the batch. All processes end up with the same classifier.

    Every process must run the same code on the same data: load them memory-mapped if
    they are many. The first one prints and writes checkpoints; the others read them, so
    their folder must be one that all can read. Scores that learn from the training
    samples are fitted in every process. Jobs that joblib starts inside (``n_jobs``) do
    not take part: they train alone.

    Parameters
    ----------
    timeout : float, default=600
        Seconds after which a process that waits for the others gives up with an error.
        If a process ends, the others usually fail at once.

    Yields
    ------
    int
        The number of this process, its rank. It is 0 in the first.

    Raises
    ------
    RuntimeError
        If the process was not started by torchrun, nor has a process group of its own.

    Examples
    --------
    Save this as a script and start it by ``torchrun --nproc-per-node 2 script.py``,
    without the two lines that make a group of one process here:

    >>> from sklearn.datasets import load_iris
    >>> from torch import distributed
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.distributed import data_parallel
    >>> store = distributed.HashStore()
    >>> distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    >>> X, y = load_iris(return_X_y=True)
    >>> with data_parallel() as rank:
    ...     clf = ConfidentClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> rank
    0
    >>> distributed.destroy_process_group()
    """
    is_ours = not dist.is_initialized()
    if is_ours:
        _start_group(timeout)
    token = _together.set(Ranks())
    try:
        yield dist.get_rank()
    finally:
        _together.reset(token)
        if is_ours:
            dist.destroy_process_group()


def _start_group(timeout: float) -> None:
    """Join the process group that the environment names; use this rank's own GPU."""
    missing = [n for n in ("RANK", "WORLD_SIZE") if n not in os.environ]
    if missing:
        raise RuntimeError(
            f"This process is not one of several: {', '.join(missing)} is not set. "
            "Start the script with `torchrun --nproc-per-node 2 script.py`, or call "
            "torch.distributed.init_process_group first."
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group(timeout=timedelta(seconds=timeout))
