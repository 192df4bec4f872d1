# SPDX-License-Identifier: BSD-3-Clause
"""Bad input is refused by name, before training, and leaves what was fitted."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from confident_clf import ConfidentClassifier

rng = np.random.default_rng(0)
ROWS, LABELS = rng.normal(size=(20, 4)), np.arange(20) % 2
IMAGES = rng.random((20, 1, 8, 8))
PIXELS = rng.integers(0, 256, (20, 1, 8, 8)).astype(np.uint8)
fast = partial(ConfidentClassifier, max_epochs=1)


def with_value(array, value):
    """Return a copy whose first number is `value`."""
    copy = array.copy()
    copy.flat[0] = value
    return copy


class TooFew(torch.nn.Linear):
    """A network with one output whatever the number of classes."""

    def __init__(self, input_shape, n_classes):
        super().__init__(input_shape[0], 1)


class WrongInput(torch.nn.Linear):
    """A network for rows of 99 features."""

    def __init__(self, input_shape, n_classes):
        super().__init__(99, n_classes)


def frozen(input_shape, n_classes):
    """Return a network that cannot be trained."""
    return torch.nn.Linear(*input_shape, n_classes).requires_grad_(False)


class NotATensor(torch.nn.Linear):
    """A network that returns a pair."""

    def __init__(self, input_shape, n_classes):
        super().__init__(input_shape[0], n_classes)

    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("params", "X", "y", "X_ood", "message"),
    [
        # data
        ({}, with_value(ROWS, np.nan), LABELS, None, "Input X contains NaN"),
        ({}, with_value(IMAGES, np.inf), LABELS, None, "Input X contains infinity"),
        ({}, with_value(ROWS, 1e300), LABELS, None, "too large for dtype"),
        ({}, ROWS, np.zeros(20), None, r"two classes; y has only one class, \[0.0\]"),
        ({}, ROWS, LABELS[:-1], None, r"inconsistent numbers of samples: \[20, 19\]"),
        ({}, ROWS, rng.normal(size=20), None, "Unknown label type: continuous"),
        ({}, ROWS[:1], LABELS[:1], None, "minimum of 2 is required"),
        ({}, ROWS[:, 0], LABELS, None, "Reshape your data"),
        ({}, IMAGES[:, 0], LABELS, None, r"\(20, 8, 8\). Grey images need a channel"),
        # OOD rows
        ({"ood_source": "explicit"}, ROWS, LABELS, None, "needs out-of-distribution"),
        (
            {"ood_source": "explicit", "ood_label": 9},
            ROWS,
            LABELS,
            None,
            "label rows of X with ood_label=9",
        ),
        ({}, ROWS, LABELS, ROWS, "X_ood was given, but ood_source='auto'"),
        ({"ood_source": None}, ROWS, LABELS, ROWS, "ood_source=None does not use"),
        (
            {"ood_source": "explicit"},
            ROWS,
            LABELS,
            ROWS[:, :3],
            r"X_ood has samples of shape \(3,\), .* expecting \(4,\)",
        ),
        (
            {"ood_source": "explicit"},
            IMAGES,
            LABELS,
            IMAGES[:, :, :4],
            r"X_ood has samples of shape \(1, 4, 8\)",
        ),
        (
            {"ood_source": "explicit"},
            ROWS,
            LABELS,
            with_value(ROWS, np.nan),
            "Input X_ood contains NaN",
        ),
        (
            {"ood_source": "explicit"},
            PIXELS,
            LABELS,
            PIXELS.astype(float),
            "X_ood holds floats up to .* divide by 255",
        ),
        (
            {"ood_source": "explicit", "ood_label": 0},
            ROWS,
            LABELS,
            None,
            r"only one class, \[1\]",
        ),
        (
            {"ood_source": "noise", "ood_label": -1},
            ROWS,
            np.array(["-1", "a"])[LABELS],
            None,
            "ood_label=-1 is a number, but the labels are strings, such as '",
        ),
        (
            {"ood_source": "noise", "ood_label": "unknown"},
            ROWS,
            LABELS,
            None,
            "ood_label='unknown' is a string, but the labels are numbers, such as ",
        ),
        (
            {"ood_source": "explicit"},
            pd.DataFrame(ROWS, columns=list("abcd")),
            LABELS,
            pd.DataFrame(ROWS, columns=list("abdc")),
            r"X_ood has the columns \['a', 'b', 'd', 'c'\], X \['a', 'b', 'c', 'd'\]",
        ),
        ({"ood_label": [1, 2]}, ROWS, LABELS, None, r"one label; got \[1, 2\]"),
        # images
        ({"image_shape": (1, 2, 3)}, ROWS, LABELS, None, r"\(1, 2, 3\) does not mult"),
        ({"image_shape": (2, 2)}, ROWS, LABELS, None, "three positive integers"),
        ({"image_shape": (1, -1, -1)}, ROWS, LABELS, None, "three positive integers"),
        ({"image_shape": (1, 3, -1)}, ROWS, LABELS, None, "does not multiply up"),
        ({"image_shape": (1, 0, -1)}, ROWS, LABELS, None, "three positive integers"),
        ({"image_shape": (1, 8, 8)}, IMAGES, LABELS, None, "Leave image_shape=None"),
        ({}, IMAGES[:, :, :7], LABELS, None, "7x8 pixels are too small"),
        ({"image_shape": (1, 2, 2)}, ROWS, LABELS, None, "2x2 pixels are too small"),
        # parameters
        ({"beta": -0.1}, ROWS, LABELS, None, r"'beta' .* Got -0.1"),
        ({"beta": np.nan}, ROWS, LABELS, None, "'beta'"),
        ({"ood_source": "jiont"}, ROWS, LABELS, None, "'ood_source' .* Got 'jiont'"),
        ({"ood_target": "unifrom"}, ROWS, LABELS, None, "'ood_target' .* 'unifrom'"),
        ({"method": "mps"}, ROWS, LABELS, None, "'method' .* Got 'mps'"),
        ({"lr": 0}, ROWS, LABELS, None, "'lr'"),
        ({"gan_lr": -1}, ROWS, LABELS, None, "'gan_lr'"),
        ({"batch_size": 1}, ROWS, LABELS, None, "'batch_size'"),
        ({"max_epochs": 0}, ROWS, LABELS, None, "'max_epochs'"),
        ({"latent_dim": 0}, ROWS, LABELS, None, "'latent_dim'"),
        ({"entropy_weight": -1}, ROWS, LABELS, None, "'entropy_weight'"),
        ({"device": "gpu"}, ROWS, LABELS, None, "device='gpu' cannot be used here"),
        # networks
        (
            {"module": TooFew, "ood_source": "joint"},
            ROWS,
            LABELS,
            None,
            r"module=TooFew must return logits of shape \(n, 2\), .* shape \(4, 1\)",
        ),
        (
            {"module": WrongInput},
            ROWS,
            LABELS,
            None,
            r"module=WrongInput failed on a batch of shape \(4, 4\)",
        ),
        ({"module": frozen}, ROWS, LABELS, None, "module=frozen has no weights to"),
        ({"module": torch.nn.Identity}, ROWS, LABELS, None, "=Identity has no weights"),
        ({"module": NotATensor}, ROWS, LABELS, None, "must return a tensor; .* tuple"),
        (
            {
                "ood_source": "joint",
                "discriminator": partial(torch.nn.Linear, 4, 2),
            },
            ROWS,
            LABELS,
            None,
            "discriminator=Linear must return one logit per sample",
        ),
    ],
)
def test_fit_refuses(params, X, y, X_ood, message):
    """Check the message, and that an earlier fit is as it was, to the attribute."""
    clf = fast(random_state=0).fit(ROWS[:, :3], np.array(list("ab"))[LABELS])
    before = vars(clf).copy()
    expected = clf.decision_function(ROWS[:, :3])
    clf.set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(X, y, X_ood=X_ood)
    assert {k: v for k, v in vars(clf).items() if k not in params} == {
        k: v for k, v in before.items() if k not in params
    }
    np.testing.assert_array_equal(clf.decision_function(ROWS[:, :3]), expected)


def test_cuda_where_there_is_none(monkeypatch):
    """Check that a device that is not there is named, with the remedy."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    index = torch.cuda.device_count()
    with pytest.raises(ValueError, match=r"device='cuda:\d' cannot .* device='auto'"):
        fast(device=f"cuda:{index}").fit(ROWS, LABELS)


class Locked(torch.nn.Linear):
    """A network that cannot be copied."""

    def __deepcopy__(self, memo):
        raise RuntimeError("it holds a lock")


def test_a_network_that_cannot_be_copied():
    """Check that a network is not trained in place instead, and what the error says."""
    with pytest.raises(TypeError, match=r"Locked .* it holds a lock\. Pass its class"):
        fast(module=Locked(4, 2)).fit(ROWS, LABELS)


class Softmax(torch.nn.Sequential):
    """A network that returns probabilities."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            torch.nn.Linear(input_shape[0], n_classes), torch.nn.Softmax(dim=1)
        )


class Normed(torch.nn.Sequential):
    """A network with BatchNorm."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            torch.nn.Linear(input_shape[0], 8),
            torch.nn.BatchNorm1d(8),
            torch.nn.Linear(8, n_classes),
        )


def test_probabilities_instead_of_logits_warn():
    """Check that a softmax at the end of the module is noticed."""
    with pytest.warns(UserWarning, match="module=Softmax seems to return probabilit"):
        fast(module=Softmax).fit(ROWS, LABELS)


def test_batch_norm_warns_and_names_the_layer():
    """Check the warning with OOD samples, and that there is none without."""
    with pytest.warns(UserWarning, match=r"module=Normed has BatchNorm \('1'\)"):
        fast(module=Normed).fit(ROWS, LABELS)
    fast(module=Normed, ood_source=None).fit(ROWS, LABELS)


@pytest.mark.parametrize(
    "call",
    [
        lambda clf: clf.predict(ROWS),
        lambda clf: clf.predict_proba(ROWS),
        lambda clf: clf.decision_function(ROWS),
        lambda clf: clf.ood_score(ROWS),
        lambda clf: clf.score_samples(ROWS),
        lambda clf: clf.sample_ood(1),
        lambda clf: clf.history_,
        lambda clf: clf.n_epochs_,
    ],
)
def test_unfitted_use(call):
    """Check that every public method says that fit comes first."""
    with pytest.raises(NotFittedError, match="ConfidentClassifier"):
        call(fast())


@pytest.mark.parametrize(
    ("trained_on", "X", "message"),
    [
        (ROWS, ROWS[:, :3], "X has 3 features, .* expecting 4 features"),
        (ROWS, IMAGES, r"X has (1 features|samples of shape)"),
        (ROWS, with_value(ROWS, np.nan), "contains NaN"),
        (ROWS, ROWS[:0], "0 sample"),
        (IMAGES, IMAGES[..., :7], r"samples of shape \(1, 8, 7\), .* \(1, 8, 8\)"),
        (IMAGES, IMAGES.reshape(20, 64), r"samples of shape \(64,\)"),
        (IMAGES, with_value(IMAGES, np.nan), "contains NaN"),
        (PIXELS, PIXELS.astype(float), "X holds floats up to 25[0-9]"),
        (255 * IMAGES, PIXELS, "X is uint8, .* floats up to 25[0-9]"),
    ],
)
def test_predict_refuses(trained_on, X, message):
    """Check that samples unlike those of fit are refused."""
    clf = fast().fit(trained_on, LABELS)
    with pytest.raises(ValueError, match=message):
        clf.predict(X)


@pytest.mark.parametrize("n", [0, -1, 2.5, "3"])
def test_sample_ood_refuses(n):
    """Check that the number of samples is a positive integer."""
    clf = fast().fit(ROWS, LABELS)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        clf.sample_ood(n)


def test_nothing_to_sample_from():
    """Check that plain cross entropy says that it has no source."""
    clf = fast(ood_source=None).fit(ROWS, LABELS)
    with pytest.raises(ValueError, match="ood_source=None"):
        clf.sample_ood(1)


def test_unknown_score():
    """Check that the message lists what there is."""
    clf = fast().fit(ROWS, LABELS)
    with pytest.raises(ValueError, match=r"nope.*msp"):
        clf.ood_score(ROWS, method="nope")
