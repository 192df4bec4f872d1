# SPDX-License-Identifier: BSD-3-Clause
"""Classifiers that know when they do not know, for everyone who uses scikit-learn."""

from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._decisions import Decisions
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._ood_score import ood_score
from confident_clf._detection._open_set import OpenSetClassifier
from confident_clf._persistence import dumps, load, loads, save
from confident_clf._search import ConfidentClassifierCV
from confident_clf._training._divergence import DivergenceError
from confident_clf._version import __version__
from confident_clf.metrics import (
    auroc_scorer,
    id_accuracy_scorer,
    make_ood_scorer,
    tnr_scorer,
)

__all__ = [
    "ConfidentClassifier",
    "ConfidentClassifierCV",
    "Decisions",
    "DivergenceError",
    "OODDetector",
    "OpenSetClassifier",
    "__version__",
    "auroc_scorer",
    "dumps",
    "id_accuracy_scorer",
    "load",
    "loads",
    "make_ood_scorer",
    "ood_score",
    "save",
    "tnr_scorer",
]
