# SPDX-License-Identifier: BSD-3-Clause
"""Searches on a cluster of Dask: two real workers, one of which may be killed."""

import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_validate

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, make_ood_scorer

pytestmark = pytest.mark.engines
DIGITS, LABELS = load_digits(return_X_y=True)
X, Y, UNKNOWN = DIGITS[LABELS < 5] / 16, LABELS[LABELS < 5], DIGITS[LABELS > 4] / 16
AUROC = make_ood_scorer(X_ood=UNKNOWN[:200])
CLF = ConfidentClassifier(max_epochs=3, ood_source="noise", random_state=0)


@pytest.fixture(scope="module")
def client():
    """Return a client of two workers, each a process with one thread."""
    distributed = pytest.importorskip("dask.distributed", reason="needs Dask")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_cross_validate(client):
    """Check that the scores are those of one process, to the bit."""
    alone = cross_validate(CLF, X, Y, cv=3, scoring=AUROC)["test_score"]
    with joblib.parallel_config("dask"):
        together = cross_validate(CLF, X, Y, cv=3, scoring=AUROC)["test_score"]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(CLF, {"beta": [0.1, 1.0]}, scoring=AUROC, cv=2),
        RandomizedSearchCV(
            CLF,
            {"beta": loguniform(0.01, 10)},
            n_iter=2,
            scoring=AUROC,
            cv=2,
            random_state=0,
        ),
        ConfidentClassifierCV(CLF, betas=(0.1, 1.0), scoring=AUROC, random_state=0),
    ],
    ids=lambda search: type(search).__name__,
)
def test_searches(search, client):
    """Check that every search gives the scores of one process, to the bit."""
    alone = clone(search).fit(X, Y).cv_results_
    with joblib.parallel_config("dask"):
        together = clone(search).fit(X, Y).cv_results_
    for name in ("mean_test_score", "std_test_score", "param_beta"):
        np.testing.assert_array_equal(together[name], alone[name])


def kill_a_busy_worker(client, pids, killed):
    """Kill the process of the first worker that has a task."""
    for _ in range(3000):
        busy = [worker for worker, tasks in client.processing().items() if tasks]
        if busy:
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(busy[0])
            return
        time.sleep(0.01)


def test_a_worker_dies_in_mid_search(client):
    """Check that another worker does the task of one that was killed."""
    search = GridSearchCV(CLF, {"beta": [0.1, 0.3, 1.0]}, scoring=AUROC, cv=2)
    alone = clone(search).fit(X, Y).cv_results_["mean_test_score"]
    pids, killed = client.run(os.getpid), []
    killer = threading.Thread(target=kill_a_busy_worker, args=(client, pids, killed))
    killer.start()
    with joblib.parallel_config("dask"):
        together = clone(search).fit(X, Y).cv_results_["mean_test_score"]
    killer.join()
    assert killed
    np.testing.assert_array_equal(together, alone)
