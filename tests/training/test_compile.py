# SPDX-License-Identifier: BSD-3-Clause
"""Tests of training with compiled networks; none of them needs a compiler."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from torch import nn

from confident_clf import ConfidentClassifier, load, save
from confident_clf._training._compile import lay_out_as_usual, resolve_compile

# torch 2.11 warns of its own compiler where there is a GPU.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

X = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)
Y = np.arange(70) % 3


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    """Forget earlier tests: torch gives up on a function after eight backends."""
    torch.compiler.reset()


class Counting:
    """A backend that runs what it is given as it is, and counts graphs and runs."""

    def __init__(self):
        self.graphs, self.runs = 0, 0

    def __deepcopy__(self, memo):
        return self

    def __call__(self, graph, example_inputs):
        self.graphs += 1

        def run(*args):
            self.runs += 1
            return graph.forward(*args)

        return run


class Dropping(nn.Module):
    """A network with dropout."""

    def __init__(self, shape, n_classes):
        super().__init__()
        self.hidden, self.head = nn.Linear(*shape, 8), nn.Linear(8, n_classes)
        self.dropout = nn.Dropout()

    def forward(self, x):
        return self.head(self.dropout(self.hidden(x).relu()))


class Normalizing(nn.Sequential):
    """A network with BatchNorm."""

    def __init__(self, shape, n_classes):
        super().__init__(nn.Linear(*shape, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def fast(**params):
    """Return a classifier that trains on three batches, the last one smaller."""
    params = {
        "ood_source": "joint",
        "method": "msp",
        "max_epochs": 2,
        "batch_size": 32,
        "random_state": 0,
    } | params
    return ConfidentClassifier(**params)


def weights(clf):
    """Return the weights of all networks."""
    state = clf.net_.module_.state_dict()
    if clf.net_.source is not None:
        state |= clf.net_.source_.state_dict()
    return state


@pytest.mark.parametrize(
    ("source", "runs"),
    [
        (None, 3),  # the classifier
        # D's pass, and of G's step D, C and G; of the classifier's G and C.
        ("joint", 3 * 6),
        (["joint", "noise"], 3 * 6),
        ("features", 0),
    ],
    ids=["cross entropy", "joint", "mixture", "features"],
)
def test_training_runs_compiled_code_with_the_same_result(source, runs):
    """Check the calls of compiled code, and weights and predictions to the bit."""
    backend = Counting()
    clf = fast(module=Dropping, ood_source=source, compile={"backend": backend})
    before_runs = backend.runs
    clf.fit(X, Y)
    plain = fast(module=Dropping, ood_source=source).fit(X, Y)
    # One more run is that of the check.
    assert backend.runs - before_runs == 2 * runs + 1
    for name, value in weights(plain).items():
        assert torch.equal(weights(clf)[name], value), name
    n_runs = backend.runs
    assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    assert_array_equal(clf.predict_proba(X[:1]), clf.predict_proba(X)[:1])
    assert backend.runs == n_runs  # predictions run the network as it is


def test_batch_norm_is_left_alone():
    """Check that a classifier that would be compiled for each batch is not."""
    backend = Counting()
    clf = fast(module=Normalizing, ood_source="noise", compile={"backend": backend})
    with pytest.warns(UserWarning, match="has BatchNorm"):
        clf.fit(X, Y)
    assert backend.runs == 1


def test_going_on_copies_and_files(tmp_path):
    """Check partial_fit, clones, pickles and files of a compiled training."""
    clf = fast(compile={"backend": "eager"})
    clf.partial_fit(X, Y, classes=range(3)).partial_fit(X, Y)
    plain = fast().partial_fit(X, Y, classes=range(3)).partial_fit(X, Y)
    expected = plain.predict_proba(X)
    save(clf, tmp_path / "clf")
    copies = [
        clf,
        deepcopy(clf),
        pickle.loads(pickle.dumps(clf)),
        load(tmp_path / "clf"),
    ]
    for copy in copies:
        assert_array_equal(copy.predict_proba(X), expected)
        assert copy.compile == {"backend": "eager"}
    assert set(weights(clf)) == set(weights(plain))
    assert clone(clf).get_params()["compile"] == {"backend": "eager"}


def test_through_autograd_too():
    """Check the losses of code that torch generates for both passes."""
    clf = fast(compile={"backend": "aot_eager"}, ood_source=None).fit(X, Y)
    plain = fast(ood_source=None).fit(X, Y)
    np.testing.assert_allclose(
        [row["classifier_loss"] for row in clf.history_],
        [row["classifier_loss"] for row in plain.history_],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "reduce-overhead"},
        {"mode": "max-autotune"},
        {"backend": "cudagraphs"},
        {"options": {"triton.cudagraphs": True}},
    ],
    ids=str,
)
def test_cuda_graphs_are_refused(options):
    """Check the error, and that other options of the kind are passed on."""
    with pytest.raises(ValueError, match="asks for CUDA graphs"):
        fast(compile=options).fit(X, Y)
    for others in ({"mode": "default"}, {"options": {"triton.cudagraphs": False}}):
        assert resolve_compile(others) == others


@pytest.mark.parametrize("options", [{"backend": "no such"}, {"no_such_option": 1}])
def test_what_cannot_be_compiled_is_refused(options):
    """Check that nothing is trained, and what the error says."""
    clf = fast(compile=options)
    with pytest.raises(ValueError, match=r"compile=\{.*cannot be used here: .*no.such"):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")


def test_the_usual_layout_trains_on_alike():
    """Check the weights after two more epochs, with and without the change between."""
    images, y = np.random.default_rng(0).random((60, 3, 8, 8), np.float32), Y[:60]
    clf = ConfidentClassifier(
        max_epochs=1, lr_schedule=None, method="msp", random_state=0, device="cpu"
    ).fit(images, y)
    other = deepcopy(clf)
    net = other.net_
    networks = [net.module_, net.source_]
    weights = [p for n in networks for p in n.parameters() if p.ndim == 4]
    assert not all(p.is_contiguous() for p in weights)
    lay_out_as_usual(networks, net.optimizers_in_order())
    assert all(p.is_contiguous() for p in weights)
    for each in (clf, other):
        each.partial_fit(images, y).partial_fit(images, y)
    np.testing.assert_allclose(
        other.decision_function(images), clf.decision_function(images), atol=1e-3
    )
    assert all(p.is_contiguous() for p in weights)
    kept = [
        v
        for o in net.optimizers_in_order()
        for s in o.state.values()
        for v in s.values()
    ]
    assert all(v.is_contiguous() for v in kept if v.ndim == 4)
