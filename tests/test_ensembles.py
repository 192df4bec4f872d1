# SPDX-License-Identifier: BSD-3-Clause
"""Calibration and ensembles of scikit-learn, around our classifier."""

from functools import partial

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import entropy
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_selection import mutual_info_classif  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import mutual_info_score
from sklearn.utils.fixes import parse_version

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.metrics import auroc
from confident_clf.scores import msp, mutual_information

X, Y = load_digits(return_X_y=True)
X, UNKNOWN, Y = X[Y < 5] / 16, X[Y >= 5][:200] / 16, Y[Y < 5]
TRAIN, Y_TRAIN, TEST = X[:500], Y[:500], X[500:]
fast = partial(ConfidentClassifier, ood_source=None, max_epochs=10)
CALIBRATIONS = ["sigmoid", "isotonic"]
if parse_version(sklearn.__version__) >= parse_version("1.8"):
    CALIBRATIONS.append("temperature")
