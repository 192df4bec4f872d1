# SPDX-License-Identifier: BSD-3-Clause
"""The types of the public API, as mypy shows them to the users of the package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import confident_clf

ROOT = Path(confident_clf.__file__).parents[1]
REPOSITORY = Path(__file__).parents[1]

# What libraries without types give is Any. torch has types, but to read them all takes
# many seconds.
CONFIG = """[mypy]
strict = true
[mypy-torch.*]
follow_imports = skip
[mypy-joblib.*,pandas.*,scipy.*,skorch.*,sklearn.*]
ignore_missing_imports = true
"""

RIGHT = '''
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import confident_clf as cc
from confident_clf import datasets, losses, metrics, recipes
from confident_clf.export import to_onnx, to_torch
from confident_clf.model_selection import LeaveClassesOut, OODKFold
from confident_clf.modules import MLP
from confident_clf.plotting import DecisionsDisplay, HistoryDisplay, RocDisplay
from confident_clf.scores import ODIN, LogitScore, OODScore, energy
from confident_clf.sources import JointGAN, MixtureOOD, NoiseOOD, OODSource


Array = NDArray[Any]


class Largest(LogitScore):
    def of_logits(self, logits: Array, *, rejects: bool = False) -> Array:
        largest: Array = logits.max(axis=1)
        return -largest


class Mine(OODSource):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale


class Images:
    """As a data set of torch: samples by their numbers."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, row: int) -> tuple[Array, int]:
        return np.zeros((3, 32, 32)), row


bunch = datasets.load_digits_ood(unknown=[8, 9], random_state=0)
X: Array = bunch.X_train
y: Array = bunch.y_train

clf = cc.ConfidentClassifier(
    MLP, hidden=[32], beta=1.0, method=["energy", ODIN()], ood_source=NoiseOOD()
)
reveal_type(clf.fit(X, y))  # ConfidentClassifier
texts = [str(label) for label in y]
reveal_type(clf.fit(X.tolist(), texts, X_ood=X))  # ConfidentClassifier
reveal_type(clf.fit(Images()))  # ConfidentClassifier
reveal_type(clf.partial_fit(X, y, classes=[0, 1]))  # ConfidentClassifier
reveal_type(clf.set_params(lr=0.1, module__dropout=0.5))  # ConfidentClassifier
reveal_type(clf.predict(X))  # ndarray
reveal_type(clf.predict_proba(X))  # ndarray
reveal_type(clf.decision_function(X))  # ndarray
reveal_type(clf.ood_score(X, method="msp"))  # ndarray
reveal_type(clf.score_samples(X, method=Largest()))  # ndarray
reveal_type(clf.sample_ood(3))  # ndarray
reveal_type(clf.n_epochs_)  # int
cc.ConfidentClassifier(**recipes.cifar10("gan"))
cc.ConfidentClassifier(ood_source=[JointGAN(), None, Mine()], lr_schedule=None)
cc.ConfidentClassifier(ood_source=MixtureOOD([JointGAN(lr=1e-3)], shares=[1]))

trained = cc.ConfidentClassifier.from_trained(
    nn.Linear(64, 8), classes=range(8), lr=0.1
)
reveal_type(trained)  # ConfidentClassifier
reveal_type(trained.fit_method(X))  # ConfidentClassifier

detector = cc.OODDetector(clf, target_tpr=0.9, cv=5).fit(X, y, X_ood=X)
reveal_type(detector)  # OODDetector
reveal_type(detector.predict(X))  # ndarray
reveal_type(detector.p_value(X))  # ndarray
reveal_type(detector.transform(X))  # ndarray
reveal_type(detector.decide(X))  # tuple
accepted = detector.decide(X).accepted.sum()
classes = detector.decide(X).label.tolist()
open_set = cc.OpenSetClassifier(clf, unknown_label="?").fit(X, y)
reveal_type(open_set)  # OpenSetClassifier
reveal_type(open_set.predict_proba(X))  # ndarray
search = cc.ConfidentClassifierCV(clf, betas=[0.1, 1], scoring=cc.auroc_scorer)
reveal_type(search.fit(X, y))  # ConfidentClassifierCV
reveal_type(search.sample_ood(2))  # ndarray

scorer = cc.make_ood_scorer("tnr_at_tpr", X_ood=X, tpr=0.95)
reveal_type(scorer(clf, X, y))  # float
pipeline = make_pipeline(StandardScaler(), clf)
grid = GridSearchCV(
    pipeline,
    {"confidentclassifier__beta": [0.1, 1.0]},
    scoring={"auroc": scorer, "accuracy": cc.id_accuracy_scorer},
    cv=LeaveClassesOut(2, n_splits=3, random_state=0),
    refit="auroc",
).fit(X, y)
reveal_type(cc.ood_score(grid, X))  # ndarray
for train, test in OODKFold(3, shuffle=True).split(X, y):
    reveal_type(test)  # ndarray

reveal_type(metrics.auroc([1, 0], [0.9, 0.2]))  # float
reveal_type(metrics.fpr_at_tpr(y, y, tpr=0.95, positive="out"))  # float
reveal_type(metrics.ood_report([0.9], [0.1])["auroc"])  # float
reveal_type(metrics.expected_calibration_error(y, X, n_bins=10))  # float
reveal_type(energy(X))  # ndarray
losses.kl_to_uniform(torch.zeros(2, 3))

cc.save(detector, Path("detector"))
with io.BytesIO(cc.dumps(detector)) as file:
    loaded: cc.OODDetector = cc.load(file, device="cpu", max_size=2**20)
again: cc.OODDetector = cc.loads(cc.dumps(detector), estimator__module=MLP)
reveal_type(cc.dumps(detector))  # bytes
to_torch(detector).eval()
to_onnx(detector, Path("model.onnx"))

display = RocDisplay.from_estimator(detector, X, y, X_ood=X, name="digits")
reveal_type(display)  # RocDisplay
reveal_type(display.plot(color="red"))  # RocDisplay
display.figure_.savefig("roc.png")
reveal_type(HistoryDisplay.from_estimator(clf))  # HistoryDisplay
DecisionsDisplay.from_decisions(X, detector.decide(X), image_shape=(1, 8, 8))
datasets.make_ood_moons(100, noise=0.2, random_state=np.random.RandomState(0))
datasets.broken(X, ["black"], random_state=np.random.default_rng(0))
'''

WRONG = """
import numpy as np
from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf import auroc_scorer, load, make_ood_scorer, save
from confident_clf.datasets import fetch_cifar10, load_digits_ood
from confident_clf.metrics import auroc, expected_calibration_error, ood_report
from confident_clf.plotting import RocDisplay
from confident_clf.scores import KNN
from confident_clf.sources import NoiseOOD

X, y = np.zeros((4, 2)), np.zeros(4)
clf = ConfidentClassifier()
clf.fit()  # call-arg
clf.fit(None, y)  # arg-type
clf.fit(X, y, X, y, y)  # call-arg
clf.fit(X, y, sample_weigth=y)  # call-arg
clf.predict()  # call-arg
clf.predict_proba(X, y)  # call-arg
clf.sample_ood("three")  # arg-type
clf.ood_score(X, method=3)  # arg-type
clf.fit_method()  # call-arg
ConfidentClassifier(max_epoch=3)  # call-arg
ConfidentClassifier(max_epochs="many")  # arg-type
ConfidentClassifier(None, [32])  # call-arg
ConfidentClassifier.from_trained(clf)  # call-arg
OODDetector()  # call-arg
OODDetector(clf, target_tpr="95 %")  # arg-type
OpenSetClassifier(clf).decide()  # call-arg
save(clf)  # call-arg
load()  # call-arg
load("file", max_size="1 GB")  # arg-type
auroc(y)  # call-arg
expected_calibration_error(y, X, n_bins=1.5)  # arg-type
ood_report(X, X, 0.9)  # call-arg
make_ood_scorer(3)  # arg-type
auroc_scorer(clf)  # call-arg
load_digits_ood([8, 9])  # call-arg
load_digits_ood(unknow=[8, 9])  # call-arg
fetch_cifar10(subset=1)  # arg-type
RocDisplay.from_predictions(y)  # call-arg
KNN(n_neighbours=3)  # call-arg
NoiseOOD(enlarge="much")  # arg-type
share: str = auroc(y, y)  # assignment
number: int = clf.predict(X)  # assignment
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return what mypy says of both programs: kind and text, by file and line."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "mypy.ini").write_text(CONFIG)
    (folder / "right.py").write_text(RIGHT)
    (folder / "wrong.py").write_text(WRONG)
    # Not MYPYPATH: in what is installed, mypy believes the types only by py.typed.
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "right.py", "wrong.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    said = {"right": [], "wrong": []}
    for line in result.stdout.splitlines()[:-1]:
        name, number, kind, text = re.match(
            r"(\w+)\.py:(\d+): (\w+): (.*)", line
        ).groups()
        said[name].append((int(number), kind, text))
    return said


def comments(program):
    """Return the comments at the ends of lines, by the number of the line."""
    lines = enumerate(program.splitlines(), 1)
    parts = {i: line.rpartition("  # ") for i, line in lines}
    return {i: comment for i, (_, mark, comment) in parts.items() if mark}


def test_right_program(said):
    """Check that a program as users write it is accepted, and what the types are."""
    assert [each for each in said["right"] if each[1] != "note"] == []
    types = {line: text.split('"')[1] for line, _, text in said["right"]}
    # "numpy.ndarray[...]" is an ndarray.
    types = {
        i: re.match(r"[\w.]+", name)[0].split(".")[-1] for i, name in types.items()
    }
    assert types == comments(RIGHT)


def test_wrong_program(said):
    """Check that mypy refuses every wrong line for its reason, and no other line."""
    errors = {i: text for i, kind, text in said["wrong"] if kind == "error"}
    reasons = {i: re.search(r"\[([\w-]+)\]$", text)[1] for i, text in errors.items()}
    assert reasons == comments(WRONG)


@pytest.mark.slow
def test_package():
    """Check that the package itself has no errors."""
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout
