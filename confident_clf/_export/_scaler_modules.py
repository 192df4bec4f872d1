# SPDX-License-Identifier: BSD-3-Clause
"""Fitted scalers of scikit-learn as torch modules, which compute in float64."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from torch import Tensor, nn


class ScalerModule(nn.Module):
    """Compute ``(x - center) / scale``, and clip it."""

    center: Tensor
    scale: Tensor

    def __init__(self, center, scale, limits: tuple[float, float] | None = None):
        super().__init__()
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))
        self.limits = limits

    def forward(self, x: Tensor) -> Tensor:
        """Return scaled rows, float64."""
        x = (x.double() - self.center) / self.scale
        return x if self.limits is None else x.clamp(*self.limits)


def scaler_module(step: BaseEstimator, name: str) -> nn.Module | None:
    """Return the step of a pipeline as a module; None if it passes samples through.

    Raise TypeError if it cannot be one.
    """
    if step is None or step == "passthrough":
        return None
    if isinstance(step, FrozenEstimator):
        return scaler_module(step.estimator, name)
    make = _MAKERS.get(type(step))
    if make is None:
        raise TypeError(
            f"The step {name!r} of the pipeline, {type(step).__name__}, cannot be "
            "exported. Steps before the classifier that can be are StandardScaler, "
            "MinMaxScaler, RobustScaler and MaxAbsScaler. Export pipeline[-1] alone, "
            "and transform the samples by pipeline[:-1] before."
        )
    return make(step)


def _standard(scaler: StandardScaler) -> ScalerModule:
    """Return ``(x - mean) / scale``."""
    mean = scaler.mean_ if scaler.with_mean else 0.0
    return ScalerModule(mean, scaler.scale_ if scaler.with_std else 1.0)


def _robust(scaler: RobustScaler) -> ScalerModule:
    """Return ``(x - median) / range``."""
    center = scaler.center_ if scaler.with_centering else 0.0
    return ScalerModule(center, scaler.scale_ if scaler.with_scaling else 1.0)


def _min_max(scaler: MinMaxScaler) -> ScalerModule:
    """Return ``x * scale + min``, whose center and scale this computes."""
    low, high = map(float, scaler.feature_range)
    limits = (low, high) if scaler.clip else None
    return ScalerModule(-scaler.min_ / scaler.scale_, 1 / scaler.scale_, limits)


def _max_abs(scaler: MaxAbsScaler) -> ScalerModule:
    """Return ``x / scale``."""
    # `clip` came with a later scikit-learn than the oldest that is supported.
    limits = (-1.0, 1.0) if getattr(scaler, "clip", False) else None
    return ScalerModule(np.zeros_like(scaler.scale_), scaler.scale_, limits)


# Subclasses are not here: they may compute something else.
_MAKERS = {
    MaxAbsScaler: _max_abs,
    MinMaxScaler: _min_max,
    RobustScaler: _robust,
    StandardScaler: _standard,
}
