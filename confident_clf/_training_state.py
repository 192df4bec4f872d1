# SPDX-License-Identifier: BSD-3-Clause
"""All that the next epoch depends on: out of a net, and back into one."""

from torch import nn
from torch.optim import Optimizer

from confident_clf.utils._checkpoints import as_plain
from confident_clf.utils._seeding import random_states, set_random_states


def state_of(net):
    """Return the state of a net between two epochs of its training.

    Parameters
    ----------
    net : JointNet
        In training, or at its end.

    Returns
    -------
    dict
        Of tensors on the CPU, numbers and text, in dicts, lists and tuples; a copy.
    """
    state = {
        "module": net.module_.state_dict(),
        "source": _source_state(net),
        "optimizers": [optimizer.state_dict() for optimizer in net.every_optimizer()],
        "rates": [net.rates_.n_done, [rate for _, rate in net.rates_.groups]],
        "callbacks": {name: _learnt(c) for name, c in _callbacks(net)},
        "history": list(net.history),
        "random": random_states(net.device),
    }
    return {name: as_plain(part, name) for name, part in state.items()}


def restore(net, state):
    """Put a state back, into a net that is ready to begin its training.

    Parameters
    ----------
    net : JointNet
        Of the same data and parameters as the one that the state is of.
    state : dict
        As `state_of` returns it.

    Raises
    ------
    ValueError
        If it does not fit the networks, whose code may have changed.
    """
    try:
        _restore(net, state)
    except Exception as error:  # of whatever kind: what is in a file may be anything
        raise ValueError(
            f"The checkpoint does not fit the networks, the source or the callbacks: "
            f"{error} If their code has changed, use another folder, or delete it to "
            "start anew."
        ) from error


def _restore(net, state):
    """Put a state back, part by part; the random states last."""
    net.module_.load_state_dict(state["module"])
    if net.source is not None:
        net.source_.load_state_dict(state["source"]["tensors"])
        for name, attributes in state["source"]["attributes"].items():
            vars(net.source_.get_submodule(name)).update(
                _to_device(attributes, net.device)
            )
    optimizers = net.every_optimizer()
    for optimizer, part in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(part)
    net.rates_.go_on(optimizers, *state["rates"])
    for name, callback in _callbacks(net):
        vars(callback).update(state["callbacks"][name])
    net.history[:] = state["history"]
    set_random_states(state["random"], net.device)


def _callbacks(net):
    """Return the callbacks by name, but for those that time and print an epoch."""
    every = {name for name, _ in net._default_callbacks}
    return [(name, c) for name, c in net.callbacks_ if name not in every]


def _source_state(net):
    """Return the source's tensors, and what it and those within it have learnt."""
    if net.source is None:
        return None
    # A source is a module; its networks keep their state in tensors.
    parts = [(n, m) for n, m in net.source_.named_modules() if hasattr(m, "prepare")]
    return {
        "tensors": net.source_.state_dict(),
        "attributes": {name: _learnt(part) for name, part in parts},
    }


def _learnt(thing):
    """Return the attributes that end in an underscore: what training has set."""
    return {
        name: value
        for name, value in vars(thing).items()
        if name.endswith("_")
        and not name.startswith("_")
        and not isinstance(value, (Optimizer, nn.Module))
    }


def _to_device(attributes, device):
    """Return attributes with their tensors on the device."""
    return {
        name: value.to(device) if hasattr(value, "to") else value
        for name, value in attributes.items()
    }
