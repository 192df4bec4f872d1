# SPDX-License-Identifier: BSD-3-Clause
"""One seed for everything random, and no trace of it left."""

import random
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state


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
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@contextmanager
def seeded(seed, device):
    """Seed the global generators of Python, NumPy and torch; restore them after.

    Layers are initialised, and dropout draws, from torch's global generator: the only
    way to seed them is to seed that.

    Parameters
    ----------
    seed : int
        The seed for all of them.
    device : torch.device
        The device that will be used; its generator is seeded and restored too.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # Without `devices`, fork_rng would touch every GPU there is.
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
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
