# SPDX-License-Identifier: BSD-3-Clause
"""The recipes for Dask, Ray and Spark, on two real workers each."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_validate

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, make_ood_scorer

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.engines
@pytest.mark.parametrize(
    ("engine", "n_checks"), [("dask", 3), ("ray", 1), ("spark", 1)]
)
def test_same_as_in_one_process(engine, n_checks, tmp_path):
    """Check that searches and scores are equal to the bit to those of one process."""
    example = EXAMPLES / f"score_with_{engine}.py"
    process = subprocess.run(
        [sys.executable, example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    answers = re.findall(r"same \w+ as in one process: (\w+)", process.stdout)
    assert answers == ["True"] * n_checks


X, Y = load_digits(return_X_y=True)
KNOWN, UNKNOWN, Y = X[Y < 5][:300] / 16, X[Y >= 5][:200] / 16, Y[Y < 5][:300]
CLF = ConfidentClassifier(ood_source="noise", max_epochs=5, random_state=0)
AUROC = make_ood_scorer(X_ood=UNKNOWN)
BETAS = [0.0, 0.1, 0.5, 1.0]


@pytest.fixture(scope="module")
def client():
    """Return a client as in the recipe, of two processes with a thread each."""
    from dask.distributed import LocalCluster

    spec = importlib.util.spec_from_file_location(
        "score_with_dask", EXAMPLES / "score_with_dask.py"
    )
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        recipe.DirectClient(cluster) as client,
    ):
        yield client


def grid():
    """Return the scores of a search over a grid."""
    search = GridSearchCV(CLF, {"beta": BETAS}, scoring=AUROC, cv=3, refit=False)
    return search.fit(KNOWN, Y).cv_results_["mean_test_score"]


def randomized():
    """Return the scores of a random search."""
    search = RandomizedSearchCV(
        CLF,
        {"beta": BETAS, "lr": [1e-3, 3e-3]},
        n_iter=3,
        scoring=AUROC,
        cv=2,
        random_state=0,
    )
    return search.fit(KNOWN, Y).cv_results_["mean_test_score"]


def validated():
    """Return the scores of a cross-validation."""
    return cross_validate(CLF, KNOWN, Y, scoring=AUROC, cv=3)["test_score"]


def searched_for_beta():
    """Return the scores of the search for beta."""
    search = ConfidentClassifierCV(CLF, betas=[0.1, 1.0], scoring=AUROC, random_state=0)
    return search.fit(KNOWN, Y).cv_results_["mean_test_score"]


@pytest.mark.engines
@pytest.mark.parametrize("search", [grid, randomized, validated, searched_for_beta])
def test_searches_with_dask(client, search):
    """Check that searches on two processes have the scores of one, to the bit."""
    with joblib.parallel_config("dask", client=client):
        found = search()
    np.testing.assert_array_equal(found, search())


@pytest.mark.engines
@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_worker(client, which):
    """Check that a search ends with the same scores if a worker is killed in it.

    joblib submits four tasks at once here. With these, all splits have been sent.
    """
    pids = sorted(client.run(os.getpid).values())
    tasks_of_workers = []

    def kill():
        end = time.monotonic() + 60
        tasks = {}
        while time.monotonic() < end and sum(map(len, tasks.values())) < 4:
            time.sleep(0.01)
            tasks = client.processing()
        tasks_of_workers.extend(map(len, tasks.values()))
        os.kill(pids[which], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with joblib.parallel_config("dask", client=client):
        found = grid()
    thread.join()
    assert len(tasks_of_workers) == 2 and min(tasks_of_workers) > 0
    np.testing.assert_array_equal(found, grid())
    # The nanny starts another. The scheduler may not have noticed the loss at once.
    client.wait_for_workers(2)
    assert pids[which] not in client.run(os.getpid).values()


@pytest.mark.engines
@pytest.mark.parametrize("when", [0, 2, 7])
def test_a_worker_killed_at_the_beginning(client, when, monkeypatch):
    """Check that a search goes on if a worker is lost while joblib sends arrays.

    It is killed when joblib wants to put array number `when` on a worker.
    """
    client.wait_for_workers(2)
    pids = sorted(client.run(os.getpid).values())
    scatter, n_calls = client.scatter, []

    def kill_and_scatter(*args, **kwargs):
        if len(n_calls) == when:
            os.kill(pids[0], signal.SIGKILL)
        n_calls.append(1)
        return scatter(*args, **kwargs)

    monkeypatch.setattr(client, "scatter", kill_and_scatter)
    with joblib.parallel_config("dask", client=client):
        found = grid()
    assert len(n_calls) > when
    np.testing.assert_array_equal(found, grid())
    client.wait_for_workers(2)
