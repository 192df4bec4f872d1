# SPDX-License-Identifier: BSD-3-Clause
"""What an estimator consists of: steps before the classifier, it, and a detector."""

from inspect import getattr_static
from typing import NamedTuple

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._open_set import OpenSetClassifier
from confident_clf._export._scaler_modules import scaler_module

# What a subclass may not define anew: the exported network would not know.
_METHODS = (
    "decide",
    "decision_function",
    "ood_score",
    "p_value",
    "predict",
    "predict_proba",
    "score_samples",
)


class Parts(NamedTuple):
    """The parts of a fitted estimator, from the outside to the inside."""

    scalers: list[nn.Module]
    classifier: ConfidentClassifier
    detector: OODDetector | None
    open_set: OpenSetClassifier | None


def take_apart(estimator: BaseEstimator) -> Parts:
    """Return the parts of a fitted estimator.

    Raise TypeError if one of them cannot be exported.
    """
    check_is_fitted(estimator)
    scalers, detector, open_set = [], None, None
    while not isinstance(estimator, ConfidentClassifier):
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, Pipeline):
            scalers += _scalers(estimator)
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, OpenSetClassifier) and detector is None:
            _check_own(estimator, OpenSetClassifier)
            open_set, estimator = estimator, estimator.detector_
        elif isinstance(estimator, OODDetector) and detector is None:
            _check_own(estimator, OODDetector)
            detector, estimator = estimator, estimator.estimator_
        else:
            raise TypeError(
                f"{type(estimator).__name__} cannot be exported here. It takes a "
                "fitted ConfidentClassifier, an OODDetector or OpenSetClassifier of "
                "one, and pipelines, searches and FrozenEstimator around them. For "
                "estimators of scikit-learn, use skl2onnx."
            )
    _check_own(estimator, ConfidentClassifier)
    return Parts(scalers, estimator, detector, open_set)


def _scalers(pipeline: Pipeline) -> list[nn.Module]:
    """Return the steps of a pipeline before its last one, as modules."""
    modules = [scaler_module(step, name) for name, step in pipeline.steps[:-1]]
    return [module for module in modules if module is not None]


def _check_own(estimator: BaseEstimator, base: type) -> None:
    """Raise TypeError if a subclass of `base` defines a method that is exported."""
    for name in _METHODS:
        own = getattr_static(type(estimator), name, None)
        if own is not getattr_static(base, name, None):
            raise TypeError(
                f"{type(estimator).__name__} cannot be exported: it has a {name} of "
                f"its own, which is not a function of tensors. Export {base.__name__} "
                "itself, and do the rest with its outputs."
            )
