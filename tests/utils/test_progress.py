# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what a user sees on stderr while a fit runs."""

import io
import os
import pickle
import re
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, load, save
from confident_clf.sources import OriginalGAN

ROOT = Path(__file__).parents[2]
X, y = make_blobs(60, centers=4, random_state=0)


def small(**params):
    """Return a classifier that fits in a few milliseconds and shows its progress."""
    network = {"ood_source": "noise", "hidden": 8, "method": "msp", "lr": 0.05}
    return ConfidentClassifier(**{"random_state": 0, "verbose": 1} | network | params)


def steps(text):
    """Return name, step and number of steps of every line."""
    found = re.findall(r"^(.*?) (\d+) of (\d+) \[", text, re.MULTILINE)
    assert len(found) == len(text.splitlines())
    return [(name, int(n), int(total)) for name, n, total in found]


def epochs(text):
    """Return the epoch of every line, and check that there is nothing else."""
    found = steps(text)
    assert {name for name, _, _ in found} <= {"epoch"}
    return [n for _, n, _ in found]


class Terminal(io.StringIO):
    """A text stream that says it is a terminal, as tqdm and the classifier ask it."""

    def isatty(self):
        """Return True."""
        return True


@pytest.mark.parametrize("n_epochs", [1, 7, 10, 25, 100])
def test_lines_in_a_file(n_epochs, capsys):
    """Check the lines: one for every tenth, the last among them, and plain text."""
    small(max_epochs=n_epochs, batch_size=60).fit(X, y)
    out, err = capsys.readouterr()
    expected = {-(-n_epochs * tenth // 10) for tenth in range(1, 11)}
    assert epochs(err) == sorted(expected)
    assert out == "" and not set("\r\x1b") & set(err)


def test_the_losses_of_the_last_epoch(capsys):
    """Check the figures in a line against the history."""
    clf = small(ood_source="joint", max_epochs=1)
    last = clf.fit(X, y, X_val=X, y_val=y).history_[-1]
    names = "discriminator", "generator", "classifier", "valid"
    line = capsys.readouterr().err
    assert all(f"{name} {last[f'{name}_loss']:.3g}" in line for name in names)
    assert line.count("classifier") == 1 and "train" not in line


def test_a_bar_in_a_terminal():
    """Check that a bar is drawn again in its place, and ends with the last epoch."""
    with redirect_stderr(Terminal()) as stderr:
        small(max_epochs=3).fit(X, y)
    first, *_, last = stderr.getvalue().strip("\r\n").split("\r")
    assert first.startswith("epoch 0 of 3 |") and last.startswith("epoch 3 of 3 |")


def test_nothing_and_a_table(capsys):
    """Check verbose=0, and that the table of verbose=2 comes without a bar."""
    with redirect_stderr(Terminal()) as stderr:
        small(max_epochs=1, verbose=0).fit(X, y)
        assert capsys.readouterr().out == ""
        small(max_epochs=1, verbose=2).fit(X, y)
    assert "classifier_loss" in capsys.readouterr().out
    assert stderr.getvalue() == ""


def test_without_stderr(monkeypatch):
    """Check a process that has none, such as a Windows service."""
    monkeypatch.setattr(sys, "stderr", None)
    assert small(max_epochs=2).fit(X, y).n_epochs_ == 2


def test_going_on(capsys, tmp_path):
    """Check where the count begins after warm_start, partial_fit and a checkpoint."""
    clf = small(max_epochs=2, warm_start=True).fit(X, y)
    capsys.readouterr()
    clf.fit(X, y)
    assert steps(capsys.readouterr().err) == [("epoch", 3, 4), ("epoch", 4, 4)]
    clf.partial_fit(X, y)
    assert steps(capsys.readouterr().err) == [("epoch", 5, 5)]
    clf.set_params(verbose=0).fit(X, y)
    assert capsys.readouterr().err == ""
    killed = small(max_epochs=4, checkpoint=tmp_path, lr_schedule=_stop_at_half)
    with pytest.raises(InterruptedError):
        killed.fit(X, y)
    assert epochs(capsys.readouterr().err) == [1, 2]
    _stop_at_half.__defaults__[0].clear()
    killed.fit(X, y)
    assert steps(capsys.readouterr().err) == [("epoch", 3, 4), ("epoch", 4, 4)]


def _stop_at_half(share, stops=["once"]):  # noqa: B006
    """Raise an error after half of the fit, until `stops` is empty."""
    if share >= 0.5 and stops:
        raise InterruptedError
    return 1.0


def test_stopping_early(capsys):
    """Check that the last line has the last epoch, which is no tenth."""
    clf = small(early_stopping=True, n_iter_no_change=1, max_epochs=1000, lr=1.0)
    clf.fit(X, y)
    assert clf.n_epochs_ < 100
    assert epochs(capsys.readouterr().err) == [clf.n_epochs_]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_errors_close_the_bar(error):
    """Check Ctrl-C and an error: no bar stays open, and the next text has a line."""

    def schedule(share):
        if share > 0.5:
            raise error
        return 1.0

    with redirect_stderr(Terminal()) as stderr, pytest.raises(error):
        small(lr_schedule=schedule, max_epochs=4).fit(X, y)
    assert stderr.getvalue().startswith("\repoch 0 of 4")
    assert stderr.getvalue().endswith("\n")
    assert not list(tqdm._instances)


def test_the_training_of_the_original_gan(capsys):
    """Check that it has lines of its own, before those of the classifier."""
    source = OriginalGAN(max_epochs=3)
    small(ood_source=source, max_epochs=2).fit(X, y)
    gan, epoch = "original GAN, epoch", "epoch"
    expected = [(gan, n, 3) for n in (1, 2, 3)] + [(epoch, n, 2) for n in (1, 2)]
    err = capsys.readouterr().err
    assert steps(err) == expected
    assert "generator" in err.splitlines()[0]


def test_the_search_for_beta(capsys):
    """Check a line for each split, and those of the last fit; the others are quiet."""
    clf = make_pipeline(StandardScaler(), small(max_epochs=2))
    search = ConfidentClassifierCV(clf, betas=[0.1, 1], random_state=0).fit(X, y)
    n = sum(name.startswith("split") for name in search.cv_results_)
    expected = [("search for beta, split", i + 1, n) for i in range(n)]
    err = capsys.readouterr().err
    assert steps(err) == [*expected, ("epoch", 1, 2), ("epoch", 2, 2)]
    assert search.best_estimator_[-1].verbose == 1


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_workers_and_the_search_for_beta(backend, capsys):
    """Check jobs that come one by one, and those of a backend that returns a list."""
    with parallel_config(backend, n_jobs=2):
        search = ConfidentClassifierCV(small(max_epochs=1), betas=[1], random_state=0)
        search.fit(X, y)
    n = sum(name.startswith("split") for name in search.cv_results_)
    expected = [("search for beta, split", i + 1, n) for i in range(n)]
    assert steps(capsys.readouterr().err) == [*expected, ("epoch", 1, 1)]


def test_workers_of_a_grid_search(capsys):
    """Check that each of several fits at once writes its own line."""
    with parallel_config("threading", n_jobs=2):
        GridSearchCV(small(max_epochs=1), {"beta": [0.1, 1]}, cv=2).fit(X, y)
    assert epochs(capsys.readouterr().err) == [1] * 5


SEARCH = """
from sklearn.model_selection import GridSearchCV
from tests.utils.test_progress import X, small, y
GridSearchCV(small(max_epochs=20), {"beta": [0.1, 1]}, cv=2, n_jobs=2).fit(X, y)
"""


@pytest.mark.slow
def test_processes_of_a_grid_search():
    """Check that fits in two processes write whole lines into a file, and no codes."""
    run = [sys.executable, "-W", "ignore", "-c", SEARCH]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    err = subprocess.run(
        run, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stderr
    assert sorted(epochs(err)) == sorted(5 * list(range(2, 21, 2)))
    assert not set("\r\x1b") & set(err)


def test_nothing_stays_in_the_classifier(tmp_path, capsys):
    """Check that clone, pickle and a file are those of a quiet classifier."""
    loud, quiet = (small(max_epochs=1, verbose=v).fit(X, y) for v in (1, 0))
    assert vars(loud).keys() == vars(quiet).keys()
    assert clone(loud).verbose == 1
    save(loud, tmp_path / "loud.safetensors")
    for copy in pickle.loads(pickle.dumps(loud)), load(tmp_path / "loud.safetensors"):
        assert copy.verbose == 1
        np.testing.assert_array_equal(copy.predict_proba(X), quiet.predict_proba(X))
