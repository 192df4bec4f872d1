# SPDX-License-Identifier: BSD-3-Clause
"""The width of the default network, and parameters of networks that users pass."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    dumps,
    loads,
)
from confident_clf.modules import MLP, DCGenerator, MLPGenerator, SmallConvNet
from confident_clf.sources import JointGAN

X, Y = make_blobs(60, centers=3, n_features=4, random_state=0)
IMAGES = np.random.default_rng(0).random((12, 1, 8, 8)).astype(np.float32)
CLASSES = np.arange(12) % 2
fast = partial(ConfidentClassifier, max_epochs=1, random_state=0)


class Net(torch.nn.Module):
    """A user's network with parameters of its own."""

    def __init__(self, input_shape, n_classes, *, hidden=5, depth=1):
        super().__init__()
        sizes = [input_shape[0], *[hidden] * depth]
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(hidden, n_classes))

    def forward(self, x):
        return self.layers(x)


def any_keywords(input_shape, n_classes, **keywords):
    """Return a network from whatever keywords."""
    return Net(input_shape, n_classes, **keywords)


def widths(clf):
    """Return the numbers of outputs of the linear layers of a fitted classifier."""
    modules = clf.net_.module_.modules()
    return [m.out_features for m in modules if isinstance(m, torch.nn.Linear)]


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        (None, [128, 128]),
        (7, [7]),
        ((7,), [7]),
        ([9, 8, 7], [9, 8, 7]),
        ((), []),
        (np.int64(6), [6]),
        (np.array([6, 5]), [6, 5]),
    ],
    ids=str,
)
def test_hidden_of_rows(hidden, expected):
    """Check the widths of the default network for rows."""
    clf = fast(hidden=hidden, ood_target="uniform").fit(X, Y)
    assert widths(clf) == [*expected, 3]


@pytest.mark.parametrize(("hidden", "expected"), [(None, 128), (7, 7), ([7], 7)])
@pytest.mark.parametrize("flat", [False, True])
def test_hidden_of_images(hidden, expected, flat):
    """Check the width of the hidden layer of the default network for images."""
    shape = {"image_shape": (1, 8, 8)} if flat else {}
    samples = IMAGES.reshape(12, -1) if flat else IMAGES
    clf = fast(hidden=hidden, ood_source=None, **shape).fit(samples, CLASSES)
    assert widths(clf) == [expected, 2]


@pytest.mark.parametrize(
    ("params", "samples", "message"),
    [
        ({"hidden": (8, 8)}, IMAGES, r"hidden=\(8, 8\) names 2 layers.*has one"),
        ({"hidden": ()}, IMAGES, r"hidden=\(\) names 0 layers"),
        ({"hidden": (8, 0)}, X, r"hidden=\(8, 0\).*positive integers"),
        ({"hidden": [8.5]}, X, r"hidden=\[8.5\].*positive integers"),
        ({"hidden": [True]}, X, r"hidden=\[True\].*positive integers"),
        ({"hidden": [[8]]}, X, r"hidden=\[\[8\]\].*positive integers"),
        ({"hidden": -1}, X, "'hidden' parameter"),
        ({"hidden": "8"}, X, "'hidden' parameter"),
        ({"hidden": 8, "module": Net}, X, "module=Net.*hidden=None.*module__"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_hidden_is_refused(params, samples, message):
    """Check that a width that no layer has is refused by name."""
    labels = np.arange(len(samples)) % 2
    clf = fast(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(samples, labels)
    assert not hasattr(clf, "net_")


def test_hidden_in_a_search():
    """Check a grid over widths: the model is that of a fit with the best one."""
    search = GridSearchCV(fast(), {"hidden": [2, (32, 32)]}, cv=2).fit(X, Y)
    best = search.best_params_["hidden"]
    assert search.best_estimator_.get_params()["hidden"] == best
    alone = fast(hidden=best).fit(X, Y)
    np.testing.assert_array_equal(search.predict_proba(X), alone.predict_proba(X))


def test_hidden_travels():
    """Check that clones, files and copies keep the width."""
    clf = fast(hidden=(6, 5)).fit(X, Y)
    loaded = loads(dumps(clf))
    assert widths(loaded) == widths(clf) == [6, 5, 4]
    assert loaded.hidden == clone(clf).hidden == (6, 5)
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_hidden_changed_later():
    """Check that a file has the network that was trained, whatever `hidden` is now."""
    clf = fast(hidden=6).fit(X, Y).set_params(hidden=9)
    assert widths(loads(dumps(clf))) == [6, 4]


@pytest.mark.parametrize(
    "module", [Net, partial(Net, depth=1), any_keywords, partial(MLP, hidden=(3,))]
)
def test_module_params(module):
    """Check that classes, partials and functions take parameters by their names."""
    hidden = (6,) if isinstance(module, partial) and module.func is MLP else 6
    clf = fast(module, ood_source=None)
    assert clf.set_params(module__hidden=hidden) is clf
    assert widths(clf.fit(X, Y)) == [6, 3]
    assert module is not clf.module  # what the user gave is as it was


def test_module_params_add_up():
    """Check that later parameters keep earlier ones, and a new module starts anew."""
    clf = fast(Net, ood_source=None).set_params(module__hidden=6)
    assert widths(clf.set_params(module__depth=2).fit(X, Y)) == [6, 6, 3]
    assert widths(clone(clf).fit(X, Y)) == [6, 6, 3]
    clf.set_params(module__hidden=4, module=Net)
    assert widths(clf.fit(X, Y)) == [4, 3]


@pytest.mark.parametrize("nesting", ["alone", "pipeline", "detector", "beta search"])
def test_module_params_in_a_search(nesting):
    """Check a grid over parameters of a module, wherever the classifier is."""
    clf = fast(Net, ood_source="noise", ood_target="uniform")
    estimator, name = {
        "alone": (clf, "module__hidden"),
        "pipeline": (
            make_pipeline(StandardScaler(), clf),
            "confidentclassifier__module__hidden",
        ),
        "detector": (OODDetector(clf, target_tpr=0.5), "estimator__module__hidden"),
        "beta search": (
            ConfidentClassifierCV(clf, betas=[0.1], random_state=0),
            "estimator__module__hidden",
        ),
    }[nesting]
    search = GridSearchCV(
        estimator,
        {name: [3, 6]},
        cv=2,
        scoring=lambda estimator, X, y: len(str(estimator.get_params())),
        error_score="raise",
    ).fit(X, Y)
    assert set(search.cv_results_[f"param_{name}"]) == {3, 6}
    assert estimator.get_params()[name.removesuffix("__hidden")] is Net


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module__width": 3}, "'width'.*module=Net.*hidden.*depth"),
        ({"module__n_classes": 3}, "'n_classes'.*module=Net"),
        ({"module__hidden__x": 3}, "'hidden__x'.*module=Net"),
        ({"module__": 3}, "''.*module=Net"),
        (
            {"module": None, "module__hidden": 3},
            "module__hidden=3.*module=None.*hidden=..., ",
        ),
        ({"module": None, "module__depth": 3}, "module=None.*module=MLP"),
        ({"generator__width": 3}, "generator=None.*MLPGenerator for rows"),
        ({"discriminator__width": 3}, "discriminator=None.*DCDiscriminator"),
        ({"module": torch.nn.Linear(4, 3), "module__bias": True}, "is a network"),
        ({"module": 3, "module__bias": True}, "module=3 .*not.*function"),
        ({"lr__x": 3}, "set_params"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_module_params_are_refused(params, message):
    """Check that what no network takes is refused at once, with the remedy."""
    clf = fast(Net)
    with pytest.raises((ValueError, AttributeError), match=message):
        clf.set_params(**params)
    assert clf.module is Net


def test_params_of_the_gan():
    """Check that networks of the GAN take parameters, also in a source."""
    clf = fast(ood_source="joint", generator=MLPGenerator)
    clf.set_params(generator__hidden=(6,)).fit(X, Y)
    assert clf.net_.source_.generator_.features[0].out_features == 6
    source = JointGAN(generator=DCGenerator).set_params(generator__width=2)
    assert source.generator.keywords == {"width": 2}
    nested = fast(ood_source=source).set_params(ood_source__generator__width=3)
    assert nested.ood_source.generator.keywords == {"width": 3}


def test_params_of_a_network_in_a_file():
    """Check that a file holds a network of the library with its parameters."""
    clf = fast(SmallConvNet, ood_source=None)
    clf.set_params(module__width=2, module__hidden=4).fit(IMAGES, CLASSES)
    assert widths(loads(dumps(clf))) == [4, 2]
