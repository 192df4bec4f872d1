# SPDX-License-Identifier: BSD-3-Clause
"""How learning rates change in the course of a fit."""

import math
from numbers import Real


def step(progress):
    """Return 1 for the first 60 % of a fit, then 0.1: the reference recipe's schedule.

    Parameters
    ----------
    progress : float
        Share of the fit that is done, from 0 up to 1.

    Returns
    -------
    float
        Factor of the learning rate.
    """
    return 1.0 if progress < 0.6 else 0.1


def one_cycle(progress):
    """Return a factor that rises from 1/25 to 1, then falls to nearly 0.

    Due to [1]_.

    Two half cosines that meet at 30 % of the fit, as in
    :class:`torch.optim.lr_scheduler.OneCycleLR` without its cycle of momentum.

    Parameters
    ----------
    progress : float
        Share of the fit that is done, from 0 up to 1.

    Returns
    -------
    float
        Factor of the learning rate.

    References
    ----------
    .. [1] L. N. Smith and N. Topin, "Super-convergence: very fast training of neural
       networks using large learning rates", 2019.
    """
    first, peak, last = 1 / 25, 1.0, 1 / 25e4
    if progress < 0.3:
        return _half_cosine(first, peak, progress / 0.3)
    return _half_cosine(peak, last, (progress - 0.3) / 0.7)


def _half_cosine(start, end, share):
    """Return what lies on the half cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES = {"step": step, "one_cycle": one_cycle}


def resolve_schedule(lr_schedule):
    """Return the function that a user's `lr_schedule` stands for.

    Parameters
    ----------
    lr_schedule : str, callable or None
        A name in `SCHEDULES`, or a function of the share that is done.

    Returns
    -------
    callable or None
        A function from the share that is done to a factor.

    Raises
    ------
    TypeError
        If the function does not return a number at first.
    ValueError
        If that is no factor.
    """
    if isinstance(lr_schedule, str):
        return SCHEDULES[lr_schedule]
    if lr_schedule is not None:
        factor_at(lr_schedule, 0.0)
    return lr_schedule


def factor_at(schedule, progress):
    """Return what a schedule says, or raise an error if that is no factor.

    Parameters
    ----------
    schedule : callable
        Maps the share that is done to a factor.
    progress : float
        Share of the fit that is done.

    Returns
    -------
    float
        The factor, finite, 0 or more.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is negative, infinite or NaN.
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
    """The learning rates of all players, moved together and put back in the end.

    Parameters
    ----------
    schedule : callable or None
        Maps the share of the fit that is done to a factor; None leaves the rates alone.
    optimizers : iterable of torch.optim.Optimizer
        Their present rates are what the factor multiplies.
    n_steps : int
        Number of batches in the fit.
    """

    def __init__(self, schedule, optimizers, n_steps):
        self.schedule = schedule
        self.n_steps = n_steps
        self.n_done = 0
        self.groups = [(group, group["lr"]) for group in _groups(optimizers)]

    def go_on(self, optimizers, n_done, rates):
        """Go on after `n_done` steps, with new groups and the `rates` of the old."""
        self.n_done = n_done
        self.groups = list(zip(_groups(optimizers), rates, strict=True))

    def set_next(self):
        """Set the rates for the next step."""
        if self.schedule is not None:
            self._multiply(factor_at(self.schedule, self.n_done / self.n_steps))
            self.n_done += 1

    def restore(self):
        """Give every optimizer its own rate back."""
        self._multiply(1.0)

    def _multiply(self, factor):
        """Set every rate to `factor` times what it was at first."""
        for group, rate in self.groups:
            group["lr"] = rate * factor


def _groups(optimizers):
    """Return the parameter groups of all optimizers."""
    return [group for optimizer in optimizers for group in optimizer.param_groups]
