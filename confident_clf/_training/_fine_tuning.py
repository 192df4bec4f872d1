# SPDX-License-Identifier: BSD-3-Clause
"""Fine-tuning: learning rates for parts of a network, and a warm-up of its head."""

import math
from contextlib import contextmanager
from numbers import Real

from torch import Tensor, nn
from torch.optim import Optimizer

from confident_clf._networks._head import find_head
from confident_clf.modules import WrappedNetwork


def fine_tune(net, few: Tensor, backbone_lr, head_epochs: int) -> None:
    """Give a new net the learning rates of its parts, and find the head to warm up.

    `few` are some samples on the net's device. Raises ValueError if the network has no
    head, or no part of a name.
    """
    if head_epochs or backbone_lr is not None:
        net.head_name_ = find_head(net.module_, few)
    net.head_epochs = head_epochs
    if backbone_lr is not None:
        set_groups(net, rates_of_parts(net.module_, net.head_name_, backbone_lr))


def rates_of_parts(network: nn.Module, head: str, backbone_lr) -> dict[str, float]:
    """Return the learning rate of each weight that has one of its own, by name."""
    names = [name for name, _ in network.named_parameters()]
    if not isinstance(backbone_lr, dict):
        return {n: float(backbone_lr) for n in names if not n.startswith(f"{head}.")}
    # The user knows the names of the network inside.
    prefix = "network." if isinstance(network, WrappedNetwork) else ""
    rates: dict[str, float] = {}
    # The rate of the longest name, the smallest part, comes last and counts.
    for part in sorted(backbone_lr, key=lambda part: len(str(part))):
        rate = backbone_lr[part]
        if not isinstance(rate, Real) or not 0 <= float(rate) < math.inf:
            raise ValueError(
                f"backbone_lr gives {part!r} the rate {rate!r}; it must be a finite "
                "number of at least 0."
            )
        inside = [n for n in names if f"{n}.".startswith(f"{prefix}{part}.")]
        if not inside:
            parts = ", ".join(name for name, _ in network.named_children())
            raise ValueError(
                f"backbone_lr names {part!r}, but module={type(network).__name__} has "
                f"no weights of that name. Its parts are: {parts}."
            )
        rates |= dict.fromkeys(inside, float(rate))
    return rates


def set_groups(net, rates: dict[str, float]) -> None:
    """Make the net's optimizer anew, with a group for each rate; 0 freezes weights.

    Raises ValueError if nothing is left to train.
    """
    for name, weight in net.module_.named_parameters():
        if rates.get(name) == 0:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in net.module_.parameters()):
        raise ValueError(
            "backbone_lr is 0 for every part that is not frozen already, so there is "
            "nothing to train. Give one part a rate above 0, or leave it out."
        )
    net.part_rates_ = rates
    net.initialize_optimizer()


def in_groups(named_parameters, rates: dict[str, float]) -> list[dict]:
    """Return the groups of an optimizer: one for each rate, one for all other weights.

    "own_lr" remembers the rate of a group that has one.
    """
    groups: dict[float | None, list] = {}
    for name, weight in named_parameters:
        groups.setdefault(rates.get(name), []).append(weight)
    return [
        {"params": weights} | ({} if rate is None else {"lr": rate, "own_lr": rate})
        for rate, weights in groups.items()
    ]


def keep_rates(optimizer: Optimizer) -> None:
    """Give groups with a rate of their own that rate back, after `lr` was set."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("own_lr", group["lr"])


@contextmanager
def warm_up(net, epoch: int):
    """Train the head alone in the block, if `epoch`, from 0, is one of the first."""
    others = []
    if epoch < net.head_epochs:
        others = [
            weight
            for name, weight in net.module_.named_parameters()
            if weight.requires_grad and not name.startswith(f"{net.head_name_}.")
        ]
    for weight in others:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in others:
            weight.requires_grad_(True)
