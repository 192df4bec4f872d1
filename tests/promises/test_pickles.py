# SPDX-License-Identifier: BSD-3-Clause
"""Tests of pickles and copies: of classes of a notebook, and of parametrized layers."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale
from torch import nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, OODDetector

X, Y = load_iris(return_X_y=True)
X = scale(X)

# A notebook is a module called __main__, whose classes only cloudpickle can pickle.
NOTEBOOK = """
import sys, warnings
import cloudpickle
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from torch import nn
from confident_clf import ConfidentClassifier, ConfidentClassifierCV, OODDetector
from confident_clf.sources import NoiseOOD
from confident_clf.scores import OODScore

warnings.simplefilter("ignore")
X, y = load_iris(return_X_y=True)

class Net(nn.Sequential):
    def __init__(self, shape, n_classes):
        super().__init__(nn.Linear(*shape, 8), nn.ReLU(), nn.Linear(8, n_classes))

class Mine(NoiseOOD):
    pass

class Norm(OODScore):
    def ood_score(self, network, X):
        return -(network.features(X) ** 2).sum(axis=1)

clf = ConfidentClassifier(
    Net, ood_source=Mine(), method=Norm(), max_epochs=1, random_state=0
).fit(X, y)
calls = {
    "voting": lambda: VotingClassifier([("a", clf), ("b", clf)], n_jobs=2).fit(X, y),
    "stacking": lambda: StackingClassifier([("a", clf)], cv=2, n_jobs=2).fit(X, y),
    "bagging": lambda: BaggingClassifier(clf, n_estimators=2, n_jobs=2).fit(X, y),
    "calibrated": lambda: CalibratedClassifierCV(clf, cv=2, n_jobs=2).fit(X, y),
    "validated": lambda: cross_validate(
        clf, X, y, cv=2, n_jobs=2, return_estimator=True),
    "grid": lambda: GridSearchCV(clf, {"beta": [0.1, 1]}, cv=2, n_jobs=2).fit(X, y),
    "beta": lambda: ConfidentClassifierCV(clf, betas=[0.1, 1], n_jobs=2).fit(X, y),
    "detector": lambda: cross_validate(
        OODDetector(clf, target_tpr=0.5), X, y, cv=2, n_jobs=2, return_estimator=True,
        scoring=lambda detector, X, y: detector.predict(X).mean()),
}
for name, call in calls.items():
    call()
    print(name, flush=True)
with open(sys.argv[1], "wb") as file:
    cloudpickle.dump((clf, X, clf.predict_proba(X), clf.ood_score(X)), file)
"""
ELSEWHERE = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    clf, X, probabilities, scores = pickle.load(file)
assert (clf.predict_proba(X) == probabilities).all()
assert (clf.ood_score(X) == scores).all()
clf.partial_fit(X, clf.predict(X))
print("loaded")
"""


def run(code, path):
    """Run code in a process of its own; return what it prints, in words."""
    process = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.split()


@pytest.mark.slow
def test_classes_of_a_notebook(tmp_path):
    """Check ensembles, searches and a pickle of a network, source and score there."""
    names = "voting stacking bagging calibrated validated grid beta detector"
    assert run(NOTEBOOK, tmp_path / "clf") == names.split()
    assert run(ELSEWHERE, tmp_path / "clf") == ["loaded"]


class Parametrized(nn.Sequential):
    """A network whose weights are computed from others."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            weight_norm(nn.Linear(*input_shape, 8)),
            nn.ReLU(),
            spectral_norm(nn.Linear(8, 8)),
            nn.ReLU(),
            orthogonal(nn.Linear(8, 8)),
            nn.Linear(8, n_classes),
        )


def fitted(**params):
    """Return a classifier with parametrized layers, fitted."""
    clf = ConfidentClassifier(Parametrized, max_epochs=3, random_state=0, **params)
    return clf.fit(X, Y)


@pytest.mark.parametrize("ood_source", ["joint", None])
@pytest.mark.parametrize(
    "twin_of",
    [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))],
    ids=["deepcopy", "pickle"],
)
def test_parametrized_layers(twin_of, ood_source):
    """Check a copy's predictions, and that it trains on as the original would."""
    clf = fitted(ood_source=ood_source)
    state = torch.get_rng_state()
    twin = twin_of(clf)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(twin.predict_proba(X), clf.predict_proba(X))
    assert twin.history_ == clf.history_
    clf.partial_fit(X, Y), twin.partial_fit(X, Y)
    np.testing.assert_array_equal(twin.predict_proba(X), clf.predict_proba(X))


def test_parametrized_layers_in_searches():
    """Check a warm start, a beta search and a detector around such a network."""
    clf = fitted(warm_start=True).fit(X, Y)
    assert clf.n_epochs_ == 6
    search = ConfidentClassifierCV(fitted(), betas=[0.1, 1.0], n_jobs=2).fit(X, Y)
    assert search.predict(X).shape == Y.shape
    detector = OODDetector(fitted(), random_state=0).fit(X, Y)
    twin = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(twin.p_value(X), detector.p_value(X))


def test_a_net_that_is_not_fitted():
    """Check the pickle of a classifier before fit, and of its parameters."""
    clf = pickle.loads(pickle.dumps(ConfidentClassifier(Parametrized, beta=0.5)))
    assert clf.get_params()["beta"] == 0.5
