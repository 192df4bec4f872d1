# SPDX-License-Identifier: BSD-3-Clause
"""The same seed gives the same bits: in another process, thread, layout or copy."""

import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from threading import Barrier, Event, Thread

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from confident_clf import (
    ConfidentClassifier,
    DivergenceError,
    OODDetector,
    load,
    save,
)
from confident_clf.scores._make_score import SCORES
from confident_clf.sources import ExplicitOOD
from confident_clf.utils._seeding import seeded

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)[:120]
Y = Y[:120]
UNKNOWN = 1 - X
CPU = torch.device("cpu")
# In the setting of the paper.
fast = partial(
    ConfidentClassifier, ood_source="joint", method="msp", max_epochs=2, random_state=0
)
# Of many sources, with dropout and random views among them.
KINDS = {
    "joint": {},
    "gan": {"ood_source": "gan", "entropy_weight": 0.1},
    "mixture": {"ood_source": ["noise", "features"], "early_stopping": True},
    "images": {
        "image_shape": (1, 8, 8),
        "ood_source": "noise",
        "ood_target": "reject",
        "augment": "flip_crop",
        "max_epochs": 1,
    },
}


def digest(clf):
    """Return a hash of the bits of logits and samples."""
    arrays = clf.decision_function(X), clf.sample_ood(20)
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def digests():
    """Return a hash for each kind of classifier."""
    return {name: digest(fast(**params).fit(X, Y)) for name, params in KINDS.items()}


@pytest.fixture(scope="module")
def expected():
    """The hashes of this process."""
    return digests()


def test_another_process(expected):
    """Check a process with other hashes of strings and more threads."""
    code = (
        "import json, torch; torch.set_num_threads(3);"
        "from tests.promises.test_reproducibility import digests;"
        "print(json.dumps(digests()))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"PYTHONHASHSEED": "5", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert json.loads(output) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_copies_fit_alike(kind, expected):
    """Check clones and pickles, of what is fitted and of what is not."""
    clf = fast(**KINDS[kind])
    early = pickle.loads(pickle.dumps(clf))
    np.random.seed(4), torch.manual_seed(4)
    fitted = clf.fit(X, Y)
    for copy in (
        early,
        clone(fitted),
        deepcopy(fitted),
        pickle.loads(pickle.dumps(fitted)),
    ):
        assert digest(copy.fit(X, Y)) == expected[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_copies_go_on_alike(kind):
    """Check that a pickle goes on where the original does, optimizers and all."""
    clf = fast(**KINDS[kind]).fit(X, Y).set_params(early_stopping=False)
    twin = pickle.loads(pickle.dumps(clf))
    assert digest(twin.partial_fit(X, Y)) == digest(clf.partial_fit(X, Y))


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        np.asfortranarray,
        lambda X: X.astype(np.float64),
        lambda X: X.astype(">f4"),
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        lambda X: np.frombuffer(X.tobytes(), np.float32).reshape(X.shape),
        lambda X: pd.DataFrame(X, columns=[f"{i}" for i in range(X.shape[1])]),
        torch.from_numpy,
    ],
    ids=[
        "lists",
        "columns first",
        "float64",
        "byte order",
        "strides",
        "negative strides",
        "read-only",
        "frame",
        "tensor",
    ],
)
def test_ways_to_give_rows(convert, expected):
    """Check that the same numbers are the same rows, however they lie in memory."""
    clf = fast().fit(convert(X), Y)
    logits = clf.decision_function(convert(X))
    np.testing.assert_array_equal(logits, fast().fit(X, Y).decision_function(X))


class Fails(Callback):
    """An error of the user's after an epoch."""

    def on_epoch_end(self, net, **kwargs):
        raise ArithmeticError


class FailsToSample(ExplicitOOD):
    """A source with an error."""

    def sample(self, n):
        raise ArithmeticError


class FailsToBuild(torch.nn.Module):
    """A network with an error, after it drew random numbers."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        torch.rand(random.randrange(1, 9) + np.random.randint(5))
        raise ArithmeticError


@pytest.fixture(scope="module")
def fitted():
    """A classifier whose scores need the network's features."""
    return fast(ood_source="noise", method="knn").fit(X, Y)


def seed_all(seed):
    """Seed the generators of Python, NumPy and torch."""
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)


def draw_all():
    """Return a number of each."""
    return random.random(), np.random.random(), torch.rand(1).item()


@pytest.mark.parametrize(
    "use",
    [
        *[lambda _clf, _path, p=p: fast(**p).fit(X, Y) for p in KINDS.values()],
        lambda _clf, _path: fast(ood_source="explicit").fit(X, Y, X_ood=UNKNOWN),
        lambda _clf, _path: fast().partial_fit(X, Y, np.arange(10)),
        lambda clf, _path: deepcopy(clf).partial_fit(X, Y),
        lambda _clf, _path: OODDetector(fast(), random_state=0).fit(X, Y).predict(X),
        lambda clf, _path: clf.predict(X),
        lambda clf, _path: clf.predict_proba(X),
        lambda clf, _path: clf.ood_score(X),
        lambda clf, _path: clf.ood_score(X, method="odin"),
        lambda clf, _path: clf.sample_ood(5),
        lambda clf, path: save(clf, path) or load(path),
    ],
)
def test_global_generators(use, fitted, tmp_path):
    """Check that all three go on as if nothing had happened."""
    seed_all(3)
    expected = draw_all()
    seed_all(3)
    use(fitted, tmp_path / "model")
    assert draw_all() == expected


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda _clf: fast().fit(X, np.zeros(120)), ValueError),
        (lambda _clf: fast(lr=-1).fit(X, Y), ValueError),
        (lambda _clf: fast(module=FailsToBuild).fit(X, Y), ArithmeticError),
        (lambda _clf: fast(ood_source=None, lr=1e30).fit(X, Y), DivergenceError),
        (
            lambda _clf: fast(ood_source=FailsToSample()).fit(X, Y, UNKNOWN),
            ArithmeticError,
        ),
        (lambda clf: clf.predict(X[:, 1:]), ValueError),
        (lambda clf: clf.sample_ood(0), ValueError),
        (lambda _clf: load(__file__), ValueError),
    ],
)
def test_global_generators_after_errors(use, error, fitted):
    """Check the same where it ends in an error, before or during the training."""
    seed_all(3)
    expected = draw_all()
    seed_all(3)
    with pytest.raises(error):
        use(fitted)
    assert draw_all() == expected


def test_without_a_random_state():
    """Check that one number of NumPy's is the seed, as everywhere in scikit-learn."""
    seed_all(3)
    np.random.randint(np.iinfo(np.int32).max)
    expected = draw_all()
    logits = []
    for _ in range(2):
        seed_all(3)
        logits.append(fast(random_state=None).fit(X, Y).decision_function(X))
        assert draw_all() == expected
    np.testing.assert_array_equal(*logits)


def in_threads(function, arguments):
    """Return what a function returns for each argument, all at the same time."""
    barrier = Barrier(len(arguments))

    def run(argument):
        barrier.wait()
        return function(argument)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(arguments)) as pool:
            return list(pool.map(run, arguments))
    finally:
        sys.setswitchinterval(interval)


def test_fits_in_threads(expected):
    """Check that fits at the same time, of all kinds, are what they are alone."""
    seed_all(3)
    found = in_threads(lambda kind: digest(fast(**KINDS[kind]).fit(X, Y)), [*KINDS])
    assert dict(zip(KINDS, found, strict=True)) == expected
    state = draw_all()
    seed_all(3)
    assert state == draw_all()


def test_seeds_in_threads():
    """Check that fits without a seed do not take it from each other's generators."""
    logits = in_threads(
        lambda seed: fast(random_state=seed).fit(X, Y).decision_function(X),
        [0, None, 0, None],
    )
    np.testing.assert_array_equal(logits[0], logits[2])
    assert not any(np.array_equal(logits[0], other) for other in logits[1::2])
    assert not np.array_equal(logits[1], logits[3])


@pytest.mark.parametrize("method", sorted(SCORES))
def test_predictions_in_threads(method):
    """Check eight threads, with rows of their own, that share a classifier just fitted.

    One of them fits meanwhile.
    """
    parts = [X[start : start + 64] for start in range(7)]

    def use(part):
        if part is None:
            return fast().fit(X, Y).decision_function(X)
        return [
            np.column_stack([clf.predict_proba(part), clf.ood_score(part)])
            for _ in range(3)
        ]

    clf = fast(ood_source=None, max_epochs=1, method=method).fit(X, Y)
    found = in_threads(use, [*parts, None])
    alone = [use(part) for part in [*parts, None]]
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fork_while_another_thread_trains():
    """Check that a forked process does not wait for a thread that it has not."""
    begun, done = Event(), Event()

    def train():
        with seeded(0, CPU):
            begun.set()
            done.wait()

    thread = Thread(target=train)
    thread.start()
    begun.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is risky, they say
        child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that waits for ever
        with seeded(0, CPU):
            os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert status == 0
