# SPDX-License-Identifier: BSD-3-Clause
"""Fitted scores as torch modules: outputs and features in, scores out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from confident_clf._export import _feature_functions as of_features
from confident_clf._export import _logit_functions as of_logits
from confident_clf.scores import (
    GEN,
    KNN,
    ODIN,
    RMD,
    AutoScore,
    Fused,
    InputScore,
    Mahalanobis,
    OODScore,
    ReAct,
    ViM,
)
from confident_clf.scores._features import neighbors_used
from confident_clf.scores._fused import rarity_table
from confident_clf.scores._score import NamedScore


class ScoreModule(nn.Module):
    """A function of outputs or features, and the arrays that it needs besides."""

    def __init__(self, function: Callable, takes_features: bool, **arrays: np.ndarray):
        super().__init__()
        self.function = function
        self.takes_features = takes_features
        self.names = list(arrays)
        for name, array in arrays.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float64))

    def forward(self, outputs: Tensor, features: Tensor | None) -> Tensor:
        """Return the score of each sample, (n,) float64."""
        arrays = {name: getattr(self, name) for name in self.names}
        return self.function(features if self.takes_features else outputs, **arrays)


class FusedModule(nn.Module):
    """The sum of the rarities of several scores."""

    def __init__(self, scores: list[nn.Module], references: list[np.ndarray]):
        super().__init__()
        self.scores = nn.ModuleList(scores)
        self.rarities = nn.ModuleList(map(_rarity_module, references))
        self.takes_features = any(score.takes_features for score in scores)

    def forward(self, outputs: Tensor, features: Tensor | None) -> Tensor:
        """Return the fused score of each sample, (n,) float64."""
        pairs = zip(self.scores, self.rarities, strict=True)
        return sum(rarity(score(outputs, features), None) for score, rarity in pairs)


def _rarity_module(reference: np.ndarray) -> ScoreModule:
    """Return the rarity among reference values, as a function of a score."""
    values, rarities, start, scale = rarity_table(reference)
    start, scale, least = float(start), float(scale), float(values[0])
    return ScoreModule(
        lambda scores, values, rarities, slopes: of_features.rarity(
            scores, values, rarities, slopes, least, start, scale
        ),
        False,
        values=values,
        rarities=rarities,
        # The last value is the end of the table.
        slopes=np.append(np.diff(rarities) / np.diff(values), 0),
    )


def score_module(score: OODScore, rejects: bool) -> nn.Module:
    """Return a fitted score as a module; `rejects` says if the last output is none.

    Raise TypeError if it cannot be one.
    """
    make = _MAKERS.get(type(score))
    if make is None:
        raise TypeError(_refusal(score))
    return make(score, rejects)


def _refusal(score: OODScore) -> str:
    """Return the message that a score cannot be exported, why, and what to do."""
    if isinstance(score, ODIN):
        why = "it needs gradients, which an exported network does not compute"
    elif isinstance(score, InputScore):
        detector = type(score.detector).__name__
        why = f"{detector} is code of scikit-learn, not a function of tensors"
    else:
        why = f"{type(score).__name__} is code in NumPy that is not part of the library"
    return (
        f"The score {score!r} cannot be exported: {why}. Choose a method of the "
        "library that needs neither gradients nor outlier detectors, such as 'energy' "
        "or 'knn': clf.set_params(method='energy').fit_method(X, y)."
    )


def _named(score: NamedScore, rejects: bool) -> nn.Module:
    """Return a score of logits without parameters as a module."""
    return ScoreModule(of_logits.named(score.name, rejects), False)


def _gen(score: GEN, rejects: bool) -> nn.Module:
    """Return GEN as a module."""
    gamma, n_top = float(score.gamma), int(score.n_top)

    def of_outputs(outputs):
        logits = of_logits.spread_reject(outputs) if rejects else outputs
        return of_logits.gen(logits, gamma, n_top)

    return ScoreModule(of_outputs, False)


def _knn(score: KNN, rejects: bool) -> nn.Module:
    """Return the distance to a neighbour as a module."""
    k = int(neighbors_used(score))
    return ScoreModule(
        lambda features, directions: of_features.knn(features, directions, k),
        True,
        directions=score.directions_,
    )


def _mahalanobis(score: Mahalanobis, rejects: bool) -> nn.Module:
    """Return the distance to the class means as a module."""
    means, whitening = score.means_, score.whitening_
    return ScoreModule(of_features.mahalanobis, True, means=means, whitening=whitening)


def _rmd(score: RMD, rejects: bool) -> nn.Module:
    """Return the relative distance as a module."""
    return ScoreModule(
        of_features.rmd,
        True,
        means=score.means_,
        whitening=score.whitening_,
        mean=score.mean_,
        whitening_of_all=score.whitening_of_all_,
    )


def _react(score: ReAct, rejects: bool) -> nn.Module:
    """Return the energy of clipped features as a module."""
    threshold = float(score.threshold_)
    return ScoreModule(
        lambda features, weight, bias: of_features.react(
            features, weight, bias, threshold, rejects
        ),
        True,
        weight=score.weight_,
        bias=score.bias_,
    )


def _vim(score: ViM, rejects: bool) -> nn.Module:
    """Return the virtual logit as a module."""
    alpha = float(score.alpha_)
    return ScoreModule(
        lambda features, weight, bias, origin, null_space: of_features.vim(
            features, weight, bias, origin, null_space, alpha, rejects
        ),
        True,
        weight=score.weight_,
        bias=score.bias_,
        origin=score.origin_,
        null_space=score.null_space_,
    )


def _fused(score: Fused, rejects: bool) -> nn.Module:
    """Return several scores together as a module."""
    parts = [score_module(part, rejects) for part in score.scores_]
    return FusedModule(parts, score.references_)


# Subclasses are not here: they may compute something else.
_MAKERS = {
    AutoScore: _fused,
    Fused: _fused,
    GEN: _gen,
    KNN: _knn,
    Mahalanobis: _mahalanobis,
    NamedScore: _named,
    RMD: _rmd,
    ReAct: _react,
    ViM: _vim,
}
