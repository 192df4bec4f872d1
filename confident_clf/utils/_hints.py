# SPDX-License-Identifier: BSD-3-Clause
"""What samples in a wrong form look like, and what to write instead."""

import warnings

import numpy as np

# Smallest side, and most channels, of images that are plainly channels last.
_SIDE, _CHANNELS = 8, 4


def check_axes(shape: tuple[int, ...], *, own_module: bool) -> None:
    """Raise ValueError unless samples are rows, images, or for a user's module.

    Images whose channels seem to come last are refused where the default network would
    see them. A module of the user's own may mean them so: then there is a warning.
    """
    if len(shape) == 4:
        _check_channels(shape, own_module)
    elif len(shape) > 2 and not (own_module and len(shape) < 6):
        raise ValueError(
            "X must be rows (n, features) or images (n, channels, height, width); got "
            f"shape {shape}. {_without_an_axis(shape)}Grey images need a channel axis: "
            "X[:, None]. Signals (n, channels, time) and volumes (n, channels, depth, "
            "height, width) need a module of your own; as rows they are "
            "X.reshape(len(X), -1)."
        )


def _without_an_axis(shape: tuple[int, ...]) -> str:
    """Return the remedy if three dimensions are those of one image."""
    if len(shape) == 3 and shape[0] <= _CHANNELS and min(shape[1:]) >= _SIDE:
        return "One image needs an axis for the samples: X[None]. "
    if len(shape) == 3 and shape[2] <= _CHANNELS and min(shape[:2]) >= _SIDE:
        return "One image (height, width, channels) is X.transpose(2, 0, 1)[None]. "
    return ""


def _check_channels(shape: tuple[int, ...], own_module: bool) -> None:
    """Refuse, or warn of, images whose channels seem to come last."""
    first, second, last = shape[1:]
    is_plain = last <= _CHANNELS < _SIDE <= min(first, second)
    if not is_plain and not (first == second >= _SIDE and last != first):
        return
    text = (
        f"X has shape {shape}, which looks like channels last. ConfidentClassifier "
        "takes images as (n, channels, height, width): pass X.transpose(0, 3, 1, 2)"
    )
    if is_plain and not own_module:
        raise ValueError(f"{text}.")
    warnings.warn(
        f"{text}. If these are {first} channels of {second}x{last} pixels, all is "
        "well.",
        UserWarning,
        stacklevel=2,
    )


def check_image_shape(image_shape: tuple[int, ...]) -> None:
    """Raise ValueError if the channels of `image_shape` seem to come last."""
    height, width, channels = image_shape
    if not channels <= _CHANNELS < _SIDE <= min(height, width):
        return
    rows = f"X.reshape(-1, {height}, {width}, {channels}).transpose(0, 3, 1, 2)"
    raise ValueError(
        f"image_shape={image_shape} looks like channels last; it means (channels, "
        f"height, width). Pass image_shape={(channels, height, width)}"
        + (f", and {rows}.reshape(len(X), -1)." if channels > 1 else ".")
    )


def hint_of_shape(shape: tuple[int, ...], known: tuple[int, ...]) -> str:
    """Return how to bring X of this shape to samples of the shape of fit, or ""."""
    one_grey = len(known) == 3 and known[0] == 1
    last = (*known[1:], known[0])
    remedies = {
        known: "X[None]",
        last: "X.transpose(2, 0, 1)[None]",
        (*shape[:1], *last): "X.transpose(0, 3, 1, 2)",
        (
            *shape[:1],
            int(np.prod(known)),
        ): f"X.reshape(-1, {', '.join(map(str, known))})",
    }
    if one_grey:
        remedies |= {known[1:]: "X[None, None]", (*shape[:1], *known[1:]): "X[:, None]"}
    if len(known) == 1 and np.prod(shape[1:]) == known[0]:
        remedies[shape] = "X.reshape(len(X), -1)"
    remedy = remedies.get(shape)
    return f" Pass {remedy}, if that is what X is." if remedy else ""
