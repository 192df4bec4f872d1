# SPDX-License-Identifier: BSD-3-Clause
"""How the learning rates of all players change during a fit."""

import math
from collections.abc import Callable, Iterable
from numbers import Real

from torch.optim import Optimizer

# A schedule maps progress, the share of the fit that is done, from 0 up to 1, to a
# factor of every learning rate.


def step(progress: float) -> float:
    """Return 1 for the first 60 % of a fit, then 0.1, as the reference recipe."""
    return 1.0 if progress < 0.6 else 0.1


def one_cycle(progress: float) -> float:
    """Return a factor that rises from 1/25 to 1, then falls to nearly 0.

    Two half cosines that meet at 30 % of the fit, as in torch's OneCycleLR without its
    cycle of momentum. Introduced by L. N. Smith and N. Topin, "Super-convergence: very
    fast training of neural networks using large learning rates", 2019.
    """
    first, peak, last = 1 / 25, 1.0, 1 / 25e4
    if progress < 0.3:
        return _half_cosine(first, peak, progress / 0.3)
    return _half_cosine(peak, last, (progress - 0.3) / 0.7)


def _half_cosine(start: float, end: float, share: float) -> float:
    """Return the value on a half cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES = {"step": step, "one_cycle": one_cycle}


def resolve_schedule(lr_schedule: str | Callable | None) -> Callable | None:
    """Return the schedule that the parameter `lr_schedule` means.

    Raises TypeError or ValueError if a function of the user's does not start with a
    factor.
    """
    if isinstance(lr_schedule, str):
        return SCHEDULES[lr_schedule]
    if lr_schedule is not None:
        factor_at(lr_schedule, 0.0)
    return lr_schedule


def factor_at(schedule: Callable, progress: float) -> float:
    """Return the factor of a schedule.

    Raises TypeError if it is not a number; ValueError if it is negative, infinite or
    NaN.
    """
    factor = schedule(progress)
    is_number = isinstance(factor, Real)
    if not is_number or not 0 <= factor < math.inf:
        raise (ValueError if is_number else TypeError)(
            "lr_schedule must map the share of the fit that is done, from 0 to 1, to a "
            "factor of the learning rate, a finite number of at least 0; "
            f"lr_schedule({progress}) is {factor!r}."
        )
    return factor


class ScheduledRates:
    """The learning rates of all players: moved together, put back at the end.

    The factors multiply the rates that the optimizers have now. `schedule=None` leaves
    them alone. `n_steps` is the number of batches of the fit.
    """

    def __init__(
        self, schedule: Callable | None, optimizers: Iterable[Optimizer], n_steps: int
    ):
        self.schedule = schedule
        self.n_steps = n_steps
        self.n_done = 0
        self.groups = [(group, group["lr"]) for group in _groups(optimizers)]

    def go_on(self, optimizers: Iterable[Optimizer], n_done: int, rates: list[float]):
        """Continue after `n_done` steps, with new groups and the rates of the old."""
        self.n_done = n_done
        self.groups = list(zip(_groups(optimizers), rates, strict=True))

    def follow(self, optimizers: Iterable[Optimizer]) -> None:
        """Move the groups that the optimizers have now: a callback may load others."""
        rates = [rate for _, rate in self.groups]
        self.go_on(optimizers, self.n_done, rates)

    def set_next(self) -> None:
        """Set the rates for the next step."""
        if self.schedule is not None:
            self._multiply(factor_at(self.schedule, self.n_done / self.n_steps))
            self.n_done += 1

    def restore(self) -> None:
        """Give every optimizer its own rate back."""
        self._multiply(1.0)

    def _multiply(self, factor: float) -> None:
        """Set every rate to `factor` times its first value."""
        for group, rate in self.groups:
            group["lr"] = rate * factor


def _groups(optimizers: Iterable[Optimizer]) -> list[dict]:
    """Return the parameter groups of all optimizers."""
    return [group for optimizer in optimizers for group in optimizer.param_groups]
