# SPDX-License-Identifier: BSD-3-Clause
"""Train one net in several processes, the ranks of torch.distributed.

Every rank has the same networks and the same data. It takes its part of every batch,
and the gradients are averaged before the step. So all ranks make the same step: the one
that a single process would make on the whole batch.
"""

import hashlib
from collections.abc import Iterable
from contextvars import ContextVar

import torch
from torch import Tensor
from torch import distributed as dist

from confident_clf.utils._progress import progress_shown
from confident_clf.utils._seeding import draw_seed, reseed


class Alone:
    """A process that trains by itself: the first of one rank, with nobody to ask."""

    rank, size = 0, 1

    def of_first(self, value):
        """Return the value."""
        return value

    def check_same(self, x: Tensor, *others: Tensor) -> None:
        """Do nothing: there are no other data."""

    def start_alike(
        self, device: torch.device, *networks: torch.nn.Module | None
    ) -> None:
        """Do nothing: the random numbers go on as they are."""

    def weigh(self, n_part: int, n_batch: int) -> None:
        """Do nothing: the part is the batch."""

    def average(self, parameters: Iterable[Tensor]) -> None:
        """Leave the gradients as they are."""

    def sum(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values


class Ranks(Alone):
    """The processes that train together: how many, and the number of this one."""

    def __init__(self):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._weight = 1.0  # of this rank's gradients

    def of_first(self, value):
        """Return the first rank's value, which must be one that can be pickled."""
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def check_same(self, x: Tensor, *others: Tensor) -> None:
        """Raise ValueError on every rank if the ranks have different data."""
        few = x[:: max(1, len(x) // 1000)]  # all of it may be many gigabytes
        digest = hashlib.blake2b(repr(tuple(x.shape)).encode())
        for tensor in (few, *others):
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
        digests = [""] * self.size
        dist.all_gather_object(digests, digest.hexdigest())
        if len(set(digests)) > 1:
            raise ValueError(
                "The processes that train together were given different data. Every "
                "process takes its part of each batch itself: call fit with the same "
                "X and y, in the same order, in all of them."
            )

    def start_alike(
        self, device: torch.device, *networks: torch.nn.Module | None
    ) -> None:
        """Give every rank the weights of the first, and random numbers of its own."""
        dist.barrier()  # the first must not write a checkpoint that another still reads
        for network in filter(None, networks):
            for tensor in [*network.parameters(), *network.buffers()]:
                dist.broadcast(tensor.detach(), src=0)
        seed = self.of_first(int(torch.randint(2**31, ())))
        reseed(seed + self.rank, device)

    def weigh(self, n_part: int, n_batch: int) -> None:
        """Tell how many samples of a batch this rank has: its gradients' weight."""
        self._weight = n_part / n_batch

    def average(self, parameters: Iterable[Tensor]) -> None:
        """Replace the gradients by their means over the samples of the whole batch."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        # One message: many small ones would take longer.
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat.mul_(self._weight))
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums of the ranks' values."""
        total = values.clone()
        dist.all_reduce(total)
        return total


# The ranks that train together in this thread; a process alone if none are set.
_together: ContextVar[Alone] = ContextVar("ranks")
_ALONE = Alone()


def ranks_together() -> Alone:
    """Return the ranks that train with this one."""
    return _together.get(_ALONE)


def is_first_rank() -> bool:
    """Return whether this process prints and writes files."""
    return ranks_together().rank == 0


def progress_of(verbose: int):
    """Show the progress of what runs in the block if the user wants a bar.

    Only the first rank shows it.
    """
    return progress_shown(verbose == 1 and is_first_rank())


def shared_seed(random_state) -> int:
    """Return a seed drawn from scikit-learn's `random_state`, the same on all ranks."""
    return ranks_together().of_first(draw_seed(random_state))
