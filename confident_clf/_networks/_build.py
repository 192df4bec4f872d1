# SPDX-License-Identifier: BSD-3-Clause
"""Build the networks of a fit: the user's, or the defaults for this input shape."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

from torch import nn

from confident_clf.modules import (
    MLP,
    DCDiscriminator,
    DCGenerator,
    MLPDiscriminator,
    MLPGenerator,
    SmallConvNet,
)
from confident_clf.modules._sizes import MIN_IMAGE_SIZE

# role -> (default for rows, for images). The GAN has half the width of the reference:
# on 28x28 images it is as good, and a step of joint training takes half the time.
_DEFAULTS = {
    "module": (MLP, SmallConvNet),
    "generator": (MLPGenerator, partial(DCGenerator, width=32)),
    "discriminator": (MLPDiscriminator, partial(DCDiscriminator, width=32)),
}

# What a factory is called with.
ARGUMENTS = {
    "module": ("input_shape", "n_classes"),
    "generator": ("latent_dim", "output_shape"),
    "discriminator": ("input_shape",),
}

# All three functions raise TypeError if the factory does not return a module, and
# ValueError if the images are too small for the default or there is nothing to train.


@dataclass(frozen=True)
class ClassifierFactory:
    """Build the classifier of a net; `module` is the user's parameter.

    A network that is not to be trained may be frozen as a whole.
    """

    module: Callable | None
    input_shape: tuple[int, ...] | None
    n_outputs: int
    to_train: bool = True

    def __call__(self) -> nn.Module:
        """Return ``module(input_shape, n_outputs)``, or a copy of a given network."""
        shape = self.input_shape
        network = _build("module", self.module, shape, shape, self.n_outputs)
        if self.to_train:
            _check_free("module", self.module, network)
        return network


def build_generator(factory, latent_dim, output_shape) -> nn.Module:
    """Return the generator; by default MLPGenerator or DCGenerator."""
    network = _build("generator", factory, output_shape, latent_dim, output_shape)
    _check_free("generator", factory, network)
    return network


def build_discriminator(factory, input_shape) -> nn.Module:
    """Return the discriminator; by default MLPDiscriminator or DCDiscriminator."""
    network = _build("discriminator", factory, input_shape, input_shape)
    _check_free("discriminator", factory, network)
    return network


def _build(role: str, factory, shape, *args) -> nn.Module:
    """Return the network that the user's or the default factory makes."""
    if factory is None:
        factory = default_factory(role, shape)
    if isinstance(factory, nn.Module):
        if role == "module":
            return own_copy(role, factory)
        raise TypeError(
            f"{role} must make a new network for every fit; got an instance of "
            f"{type(factory).__name__}. Pass its class, or functools.partial of it."
        )
    name = _name(factory)
    try:
        network = factory(*args)
    except TypeError as error:
        raise TypeError(
            f"{role}={name} cannot be called with {', '.join(map(repr, args))}: "
            f"{error}. Pass a function of ({', '.join(ARGUMENTS[role])})."
        ) from error
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"{role}={name} must return a torch.nn.Module; it returned "
            f"{type(network).__name__}."
        )
    # A class makes a new network at every call; what else returns one may keep it.
    made_by = factory.func if isinstance(factory, partial) else factory
    return network if isinstance(made_by, type) else own_copy(role, network)


def own_copy(role: str, network: nn.Module) -> nn.Module:
    """Return a copy of the user's network, in float32, with the same weights.

    To train the network itself would let folds see each other's rows, and change
    classifiers that were fitted before. Raises TypeError if it cannot be copied.
    """
    try:
        copy = deepcopy(network)
    except Exception as error:  # modules may hold anything
        raise TypeError(
            f"{role}={type(network).__name__} is copied for every fit, and cannot be: "
            f"{error}. Pass its class, or functools.partial of it, which makes a new "
            "network each time."
        ) from error
    return copy.float()


def _check_free(role: str, factory, network: nn.Module) -> None:
    """Raise ValueError if a network has nothing to train."""
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError(
            f"{role}={_name(factory)} has no weights to train: there are none, or all "
            "are frozen by requires_grad_(False). Leave one layer free."
        )


def _name(factory) -> str:
    """Return what to call a factory, or a network, in a message."""
    if factory is None or isinstance(factory, nn.Module):
        return type(factory).__name__
    return getattr(factory, "__name__", repr(factory))


def default_factory(role: str, shape):
    """Return the default factory for samples of this shape."""
    rows, images = _DEFAULTS[role]
    if len(shape) == 1:
        return rows
    if len(shape) != 3:
        raise ValueError(
            f"There is no default {role} for samples of shape {shape}, only for rows "
            "and images. Pass your own; a source that needs no generator and "
            "discriminator is ood_source='noise', 'features', 'explicit' or None."
        )
    height, width = shape[1:]
    if min(height, width) < MIN_IMAGE_SIZE:
        raise ValueError(
            f"Images of {height}x{width} pixels are too small for the default {role}, "
            f"which needs {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE}. Enlarge the images, or "
            f"pass your own {role}."
        )
    return images
