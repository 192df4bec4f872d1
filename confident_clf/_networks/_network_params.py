# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of networks: the width of the default one, and ``module__hidden``."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from numbers import Integral

from torch import nn

from confident_clf._networks._build import ARGUMENTS, default_factory
from confident_clf.modules import MLP

# What to pass so that parameters can be set, where the default depends on the data.
_DEFAULTS = {
    "module": "hidden=..., which is the width of the default network, or module=MLP or "
    "module=SmallConvNet",
    "generator": "generator=MLPGenerator for rows, or DCGenerator for images",
    "discriminator": "discriminator=MLPDiscriminator for rows, or DCDiscriminator for "
    "images",
}


def with_hidden(
    module: Callable | None, hidden, input_shape: tuple[int, ...]
) -> Callable | None:
    """Return the factory of the classifier; `hidden` sets the width of the default.

    Raises ValueError if there are no such layers.
    """
    if hidden is None:
        return module
    if module is not None:
        raise ValueError(
            f"hidden={hidden!r} is the width of the default network, but module="
            f"{_name(module)} is another. Leave hidden=None, and set its parameters as "
            "module__name=..., or by functools.partial."
        )
    widths = _widths(hidden)
    default = default_factory("module", input_shape)
    if default is MLP:
        return partial(MLP, hidden=widths)
    if len(widths) != 1:
        raise ValueError(
            f"hidden={hidden!r} names {len(widths)} layers, but the default network "
            "for images has one hidden layer. Pass one number, or "
            "module=functools.partial(SmallConvNet, width=..., hidden=...)."
        )
    return partial(default, hidden=widths[0])


def _widths(hidden) -> tuple[int, ...]:
    """Return the widths of the layers; one number is one layer."""
    widths = [hidden] if isinstance(hidden, Integral) else list(hidden)
    for width in widths:
        is_int = isinstance(width, Integral) and not isinstance(width, bool)
        if not is_int or width < 1:
            raise ValueError(
                f"hidden={hidden!r} must be positive integers, the widths of the "
                "hidden layers, such as 64 or (64, 64)."
            )
    return tuple(int(width) for width in widths)


def bind_network_params(estimator, params: dict) -> dict:
    """Return parameters in which ``module__hidden`` became a part of `module`.

    A network's parameters are bound to its factory by functools.partial. Raises
    ValueError if the factory does not take them.
    """
    params = dict(params)
    for role in ARGUMENTS:
        names = [name for name in params if name.startswith(f"{role}__")]
        keywords = {name.removeprefix(f"{role}__"): params.pop(name) for name in names}
        if keywords and hasattr(estimator, role):
            factory = params.get(role, getattr(estimator, role))
            _check_keywords(role, factory, keywords)
            params[role] = partial(factory, **keywords)
    return params


def _check_keywords(role: str, factory, keywords: dict) -> None:
    """Raise ValueError unless the factory of a network takes these keywords."""
    given = ", ".join(f"{role}__{name}={value!r}" for name, value in keywords.items())
    if factory is None:
        raise ValueError(
            f"{given} cannot be set, as {role}=None: which network that means depends "
            f"on the data. Set {_DEFAULTS[role]}."
        )
    if isinstance(factory, nn.Module) or not callable(factory):
        what = "a network" if isinstance(factory, nn.Module) else "not a function"
        raise ValueError(
            f"{given} cannot be set: {role}={_name(factory)} is {what}. Pass a class, "
            "a functools.partial of one, or a function that makes a network."
        )
    parameters = list(signature(factory).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    reserved = len(ARGUMENTS[role])
    names = [p.name for p in parameters[reserved:]]
    for name in keywords:
        if name not in names:
            known = ", ".join(names) or "none"
            raise ValueError(
                f"Invalid parameter {name!r} for {role}={_name(factory)}. Its "
                f"parameters are: {known}."
            )


def _name(factory) -> str:
    """Return what to call a factory in a message."""
    factory = factory.func if isinstance(factory, partial) else factory
    return getattr(factory, "__name__", repr(factory))
