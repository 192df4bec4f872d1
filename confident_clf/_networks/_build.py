# SPDX-License-Identifier: BSD-3-Clause
"""Build the networks of a fit: the user's, or the defaults for this input shape."""

from collections.abc import Callable
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
    """Build the classifier of a net; `module` is the user's parameter."""

    module: Callable | None
    input_shape: tuple[int, ...]
    n_outputs: int

    def __call__(self) -> nn.Module:
        """Return ``module(input_shape, n_outputs)``; by default MLP or SmallConvNet."""
        return _build(
            "module", self.module, self.input_shape, self.input_shape, self.n_outputs
        )


def build_generator(factory, latent_dim, output_shape) -> nn.Module:
    """Return the generator; by default MLPGenerator or DCGenerator."""
    return _build("generator", factory, output_shape, latent_dim, output_shape)


def build_discriminator(factory, input_shape) -> nn.Module:
    """Return the discriminator; by default MLPDiscriminator or DCDiscriminator."""
    return _build("discriminator", factory, input_shape, input_shape)


def _build(role: str, factory, shape, *args) -> nn.Module:
    """Return the network that the user's or the default factory makes."""
    if factory is None:
        factory = default_factory(role, shape)
    if isinstance(factory, nn.Module):
        raise TypeError(
            f"{role} must make a new network for every fit; got an instance of "
            f"{type(factory).__name__}. Pass its class, or functools.partial of it."
        )
    name = getattr(factory, "__name__", repr(factory))
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
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError(
            f"{role}={name} has no weights to train: there are none, or all are frozen "
            "by requires_grad_(False). Leave one layer free."
        )
    return network


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
