# SPDX-License-Identifier: BSD-3-Clause
"""Tests of forked children of a process that has computed on two threads.

That is what a server does that loads a model, tries it, and then forks its workers.
Each test runs in a process of its own, which forks for real.
"""

import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, time, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
torch.set_num_threads(2)
from functools import partial
from confident_clf import ConfidentClassifier, OODDetector, load, save
from confident_clf.modules import MLP

rng = np.random.default_rng(0)
kind, path = sys.argv[1:3]
y = np.arange(90) % 3
X = rng.normal(size=(90, 20)).astype("f")
module, method = None, "msp"
if kind == "images":
    X = rng.integers(0, 255, size=(90, 1, 28, 28)).astype("u1")
if kind == "wide":
    module = partial(MLP, hidden=(1400, 1400))
if kind == "knn":
    method = "knn"
source = None if kind == "images" else "noise"
make = partial(
    ConfidentClassifier,
    module,
    ood_source=source,
    method=method,
    max_epochs=1,
    random_state=0,
)
clf = make().fit(X, y)
detector = OODDetector(make(), target_tpr=0.8, random_state=0).fit(X, y)
expected = clf.ood_score(X)
# The parent's OpenMP threads are at work now.
(torch.rand(1000, 1000) @ torch.rand(1000, 1000)).sum()
actions = {
    "fit": lambda: make().fit(X, y).ood_score(X),
    "predict": lambda: clf.ood_score(X),
    "partial_fit": lambda: clf.partial_fit(X, y).ood_score(X),
    "odin": lambda: clf.ood_score(X, method="odin"),
    "detect": lambda: detector.p_value(X),
    "detector": lambda: OODDetector(make(), target_tpr=0.8).fit(X, y).predict(X),
    "sample": lambda: clf.sample_ood(40),
    "file": lambda: (save(clf, path), load(path).ood_score(X))[1],
}


def child(action):
    result = actions[action]()
    if action in ("predict", "file"):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)
    assert torch.get_num_threads() == 2
    return 0


for action in sys.argv[3:]:
    children = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            os._exit(child(action))
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0, action
    print(action, flush=True)
"""


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("rows", ["fit", "predict", "detector", "sample"]),
        ("images", ["fit", "predict", "odin", "detect"]),
        ("wide", ["fit", "partial_fit", "file"]),
        ("knn", ["predict", "fit"]),
    ],
)
def test_forked_workers_work(kind, actions, tmp_path):
    """Check that two children of each kind end, and predict what the parent did."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(tmp_path / "file"), *actions],
        capture_output=True,
        text=True,
        timeout=200,
        # Where torch finds a GPU, it cannot train in the child of one that has trained.
        env={
            "OMP_NUM_THREADS": "2",
            "PYTHONPATH": ":".join(sys.path),
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == actions
