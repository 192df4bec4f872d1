# SPDX-License-Identifier: BSD-3-Clause
"""One seed for everything random, and no trace of it left."""

import os
import random
from contextlib import contextmanager
from threading import RLock

import numpy as np
import torch
from sklearn.utils import check_random_state

# The generators are the process's, so only one thread at a time may have them. Others
# wait: there is no other way to give a fit its own numbers, as layers are initialised,
# and dropout draws, from torch's global generator. A callback may predict, or fit
# another classifier, in the thread that has them.
_generators = RLock()


def _renew_lock():
    """Let a forked process have its generators; the thread that had them is gone."""
    global _generators
    _generators = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def draw_seed(random_state):
    """Return one integer seed drawn from `random_state`, as scikit-learn reads it.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        An int always gives the same seed, a RandomState instance moves on.

    Returns
    -------
    int
        Seed between 0 and 2**31 - 2.
    """
    with _generators:  # None stands for NumPy's, which a fit may have seeded
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@contextmanager
def seeded(seed, device):
    """Seed the global generators of Python, NumPy and torch; restore them after.

    Waits while another thread has them.

    Parameters
    ----------
    seed : int
        The seed for all of them.
    device : torch.device
        The device that will be used; its generator is seeded and restored too.
    """
    # Without `devices`, fork_rng would touch every GPU there is.
    devices = [device] if device.type == "cuda" else []
    with _generators, torch.random.fork_rng(devices=devices):
        python_state, numpy_state = random.getstate(), np.random.get_state()
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def random_states(device):
    """Return the states of all generators that `seeded` seeds.

    Parameters
    ----------
    device : torch.device or str
        The device that is used.

    Returns
    -------
    dict
        Of tensors, numbers and text, in tuples and lists.
    """
    name, keys, *rest = np.random.get_state()
    states = {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states, device):
    """Put the states of all generators back, inside `seeded`.

    Parameters
    ----------
    states : dict
        As `random_states` returns it.
    device : torch.device or str
        The device that is used.
    """
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
