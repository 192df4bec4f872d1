# SPDX-License-Identifier: BSD-3-Clause
"""Seed everything random in a block with one number, and leave no trace of it."""

import os
import random
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

# The generators belong to the process, so only one thread at a time may seed them. The
# others wait. There is no other way to give a fit its own numbers: layers are
# initialised, and dropout draws, from torch's global generator. The lock is reentrant:
# a callback may predict, or fit another classifier, in the thread that holds it.
_generators = RLock()


def _renew_lock():
    """Unlock in a forked child: the thread that held the lock does not exist there."""
    global _generators
    _generators = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def draw_seed(random_state) -> int:
    """Return a seed between 0 and 2**31 - 2, drawn from scikit-learn's `random_state`.

    An int always gives the same seed; a RandomState instance moves on.
    """
    with _generators:  # None means NumPy's generator, which a fit may have seeded
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def reseed(seed: int, device: torch.device) -> None:
    """Seed the generators that `seeded` puts back; call it inside."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would seed every GPU, and nobody would restore the others.
    torch.default_generator.manual_seed(seed)
    if device.type == "mps":
        torch.mps.manual_seed(seed)
    elif device.type != "cpu":
        module = getattr(torch, device.type)
        with module.device(device):
            module.manual_seed(seed)


@contextmanager
def seeded(seed: int, device: torch.device):
    """Seed the global generators of Python, NumPy and torch; put them back afterwards.

    Seeds the generator of `device` too, and no other. Waits while another thread holds
    them.
    """
    with _generators:
        before = random_states(device)
        try:
            reseed(seed, device)
            yield
        finally:
            set_random_states(before, device)


def random_states(device: str | torch.device) -> dict:
    """Return the states of all generators that `seeded` seeds, as plain values."""
    state: Any = np.random.get_state()
    name, keys, *rest = state
    states = {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
    }
    device = torch.device(device)
    if device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    elif device.type != "cpu":
        states["device"] = getattr(torch, device.type).get_rng_state(device)
    return states


def set_random_states(states: dict, device: str | torch.device) -> None:
    """Put back the states that `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    device = torch.device(device)
    if "device" not in states:
        return
    if device.type == "mps":
        torch.mps.set_rng_state(states["device"])
    elif device.type != "cpu":
        getattr(torch, device.type).set_rng_state(states["device"], device)
