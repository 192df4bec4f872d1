# SPDX-License-Identifier: BSD-3-Clause
"""Everything that the next epoch depends on: out of a net, and back into one."""

import torch
from torch import nn
from torch.optim import Optimizer

from confident_clf._training._checkpoints import as_plain
from confident_clf._training._net import JointNet
from confident_clf._training._schedules import ScheduledRates
from confident_clf.utils._seeding import random_states, set_random_states
from confident_clf.utils._tensors import to_device


def state_of(net: JointNet, rates: ScheduledRates) -> dict:
    """Return a copy of the state of a net between two epochs, as plain values.

    These are tensors on the CPU, numbers and text, in dicts, lists and tuples.
    """
    optimizers = [optimizer.state_dict() for optimizer in net.optimizers_in_order()]
    state = {
        "module": net.module_.state_dict(),
        "source": _source_state(net),
        "optimizers": optimizers,
        "rates": [rates.n_done, [rate for _, rate in rates.groups]],
        "callbacks": {name: _learned(c) for name, c in _callbacks(net)},
        "history": list(net.history),
        "random": random_states(net.device),
    }
    return {name: as_plain(part, name) for name, part in state.items()}


def restore(net: JointNet, rates: ScheduledRates, state: dict) -> None:
    """Put a state back into a net that is ready to train, of the same data and params.

    Raises ValueError if it does not fit the networks, whose code may have changed.
    """
    try:
        _restore(net, rates, state)
    except torch.cuda.OutOfMemoryError:
        raise  # the checkpoint is fine
    except Exception as error:  # a file may hold anything
        raise ValueError(
            f"The checkpoint does not fit the networks, the source or the callbacks: "
            f"{error} If their code has changed, use another folder, or delete this "
            "one to start anew."
        ) from error


def _restore(net: JointNet, rates: ScheduledRates, state: dict) -> None:
    """Put a state back, part by part; the random states last."""
    net.module_.load_state_dict(state["module"])
    if net.source is not None:
        net.source_.load_state_dict(state["source"]["tensors"])
        parts = net.source_.parts()
        for name, attributes in state["source"]["attributes"].items():
            vars(parts[name]).update(to_device(attributes, net.device))
    optimizers = net.optimizers_in_order()
    for optimizer, part in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(part)
    rates.go_on(optimizers, *state["rates"])
    for name, callback in _callbacks(net):
        vars(callback).update(state["callbacks"][name])
    net.history[:] = state["history"]
    set_random_states(state["random"], net.device)


def _callbacks(net: JointNet) -> list:
    """Return the callbacks by name, without those that time and print an epoch."""
    every = {name for name, _ in net._default_callbacks}
    return [(name, c) for name, c in net.callbacks_ if name not in every]


def _source_state(net: JointNet) -> dict | None:
    """Return the source's tensors, and the learned attributes of all its parts."""
    if net.source is None:
        return None
    return {
        "tensors": net.source_.state_dict(),
        "attributes": {n: _learned(part) for n, part in net.source_.parts().items()},
    }


def _learned(thing) -> dict:
    """Return the attributes that end in an underscore: those that training sets."""
    return {
        name: value
        for name, value in vars(thing).items()
        if name.endswith("_")
        and not name.startswith("_")
        and not isinstance(value, (Optimizer, nn.Module))
    }
