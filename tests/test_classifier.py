# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ConfidentClassifier: what it learns, keeps and leaves alone."""

import pickle
import random
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback, EarlyStopping
from torchvision.models import resnet18

from confident_clf import ConfidentClassifier
from confident_clf.modules import MLP
from confident_clf.sources import JointGAN, OODSource

# In the setting of the paper.
fast = partial(
    ConfidentClassifier,
    ood_source="joint",
    method="msp",
    lr=0.01,
    max_epochs=5,
    random_state=0,
)


@pytest.fixture(scope="module")
def blobs():
    """Three blobs on a triangle around the origin."""
    centers = [[4, 0], [-2, 3.5], [-2, -3.5]]
    return make_blobs(300, centers=centers, random_state=0)


@pytest.fixture(scope="module")
def digits():
    """8x8 digits, 0 to 4 known, as rows, labels, and rows of the unknown 5 to 9."""
    X, y = load_digits(return_X_y=True)
    return X[y < 5], y[y < 5], X[y >= 5]


def test_joint_training_lowers_confidence_on_generated_samples(digits):
    """Check the KL term: unsure of its own samples, where cross entropy is not."""
    X, y, _ = digits
    joint = fast(beta=1.0, max_epochs=20).fit(X / 16, y)
    plain = fast(ood_source=None, max_epochs=20).fit(X / 16, y)
    samples = joint.sample_ood(500)
    assert joint.score(X / 16, y) > 0.98
    assert joint.ood_score(samples).mean() > plain.ood_score(samples).mean() + 0.1


def test_explicit_rows_become_uniform(digits):
    """Check that unknown digits given as X_ood, other ones held out, are told apart."""
    X, y, unknown = digits
    clf = fast(ood_source="explicit", image_shape=(1, 8, 8), beta=1.0, lr=1e-3)
    clf.set_params(max_epochs=10).fit(X, y, X_ood=unknown[::2])
    score = clf.ood_score(np.r_[X, unknown[1::2]])
    is_unknown = np.arange(len(score)) >= len(X)
    assert roc_auc_score(is_unknown, score) > 0.98
    assert clf.score(X, y) > 0.98


def test_ood_label_is_x_ood_by_another_way(digits):
    """Check bit equality of rows labelled OOD and the same rows as X_ood."""
    X, y, unknown = digits
    X, y, unknown = X[:100], y[:100], unknown[:50]
    a = fast(ood_source="explicit").fit(X, y, X_ood=unknown)
    labels = np.r_[y, np.full(50, -1)]
    b = fast(ood_source="explicit", ood_label=-1).fit(np.r_[X, unknown], labels)
    assert b.classes_.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(a.decision_function(X), b.decision_function(X))


@pytest.mark.parametrize("known, unknown", [("f4", "u1"), ("u1", "f4")])
def test_pixels_of_x_ood_and_of_the_ood_label_are_of_one_scale(known, unknown):
    """Check OOD images given in both ways, one as pixels and one as floats."""
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), np.uint8)
    kinds = {"u1": images, "f4": np.float32(images / 255)}
    labels = np.arange(40) % 3 - 1
    clf = fast(ood_source="explicit", ood_label=-1, max_epochs=1)
    rows = clf.fit(kinds[known], labels, X_ood=kinds[unknown]).net_.source_.rows
    expected = np.concatenate([images[labels == -1], images]) / 255
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_rows_of_the_ood_label_are_left_out_by_other_sources(digits):
    """Check that a source that needs no such rows trains as if they were not there."""
    X, y, unknown = digits
    X, y, unknown = X[:100], y[:100].astype(str), unknown[:50]
    labels = np.r_[y, np.full(50, "unknown")]
    a = fast().fit(X, y)
    b = fast(ood_label="unknown").fit(np.r_[X, unknown], labels)
    assert b.classes_.tolist() == list("01234")
    np.testing.assert_array_equal(a.decision_function(X), b.decision_function(X))


@pytest.mark.parametrize(
    "labels", [["b", "a", "c"], [-1, 1, 7], [2.0, 0.0, 1.0], [True, False, True]]
)
def test_labels_of_any_kind(blobs, labels):
    """Check that predictions are the user's labels, in the user's dtype."""
    X, y = blobs
    labels = np.array(labels)
    clf = fast(ood_source=None, max_epochs=20).fit(X, labels[y])
    np.testing.assert_array_equal(clf.classes_, np.unique(labels))
    assert clf.predict(X).dtype == labels.dtype
    assert clf.score(X, labels[y]) > 0.99


def test_probabilities_scores_and_logits_agree(blobs):
    """Check predict, predict_proba, ood_score and score_samples against the logits."""
    X, y = blobs
    clf = fast().fit(X, y)
    log_p = log_softmax(clf.decision_function(X), axis=1)
    p = clf.predict_proba(X)
    np.testing.assert_allclose(p, np.exp(log_p), rtol=1e-12)
    np.testing.assert_array_equal(clf.predict(X), log_p.argmax(axis=1))
    np.testing.assert_allclose(clf.ood_score(X), 1 - p.max(axis=1), atol=1e-12)
    np.testing.assert_array_equal(clf.score_samples(X), -clf.ood_score(X))
    entropy = -(p * log_p).sum(axis=1)
    np.testing.assert_allclose(clf.ood_score(X, "entropy"), entropy, atol=1e-12)
    clf.set_params(method="entropy")
    np.testing.assert_allclose(clf.ood_score(X), entropy, atol=1e-12)


def test_two_classes_have_one_logit(blobs):
    """Check that the binary decision function is the log-odds of classes_[1]."""
    X, y = blobs
    clf = fast().fit(X, y == 0)
    p = clf.predict_proba(X)
    np.testing.assert_allclose(clf.decision_function(X), np.log(p[:, 1] / p[:, 0]))


def test_history_has_every_player(digits):
    """Check names and number of the losses, and that eq. (1) adds up."""
    X, y, _ = digits
    clf = fast(image_shape=(1, 8, 8), beta=0.3, max_epochs=2).fit(X[:100], y[:100])
    assert clf.n_epochs_ == len(clf.history_) == 2
    for row in clf.history_:
        assert row["discriminator_loss"] > 0 and row["generator_loss"] > 0
        total = row["cross_entropy"] + 0.3 * row["kl"]
        assert row["classifier_loss"] == pytest.approx(total, rel=1e-5)
        assert row["train_loss"] == pytest.approx(total, rel=1e-5)
    clf = fast(ood_source=None, max_epochs=2, lr_schedule=None).fit(X[:100], y[:100])
    assert clf.history_[1]["classifier_loss"] < clf.history_[0]["classifier_loss"]
    assert "generator_loss" not in clf.history_[0]


def test_three_views_of_one_image_train_alike(digits):
    """Check bit equality of uint8, floats in [0, 1], and rows with image_shape."""
    X, y, _ = digits
    images = (X[:80] * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    y = y[:80]
    # A GPU divides pixels by 255 with another rounding than NumPy.
    kind = partial(fast, max_epochs=2, device="cpu")
    pixels = kind().fit(images, y)
    floats = kind().fit(images / 255, y)
    rows = kind(image_shape=(1, 8, 8)).fit(images.reshape(80, 64), y)
    assert pixels.input_shape_ == rows.input_shape_ == (1, 8, 8)
    expected = pixels.decision_function(images)
    # uint8 to float32 is one division; float64 / 255 to float32 may differ by one ulp.
    np.testing.assert_allclose(floats.decision_function(images), expected, atol=1e-4)
    np.testing.assert_array_equal(
        rows.decision_function(images.reshape(80, 64)), expected
    )
    # What was trained on floats in [0, 1] reads uint8 in the same way, and back.
    np.testing.assert_allclose(
        pixels.decision_function(images / 255.0), expected, atol=1e-5
    )


@pytest.mark.parametrize("wrap", [torch.tensor, list])
def test_pixels_in_tensors_and_lists(wrap):
    """Check that they are scaled as those of an array are."""
    X = np.random.default_rng(0).integers(0, 90, (40, 1, 8, 8), np.uint8)
    y = np.arange(40) % 2
    clf = fast(ood_source="noise", max_epochs=2).fit(X, y)
    np.testing.assert_array_equal(clf.ood_score(wrap(X)), clf.ood_score(X))
    other = fast(ood_source="noise", max_epochs=2).fit(wrap(X), y)
    np.testing.assert_array_equal(other.ood_score(X), clf.ood_score(X))
    assert other.sample_ood(1).dtype == np.uint8


# One kind of X has features of a million, to see that samples have them too.
@pytest.mark.filterwarnings("ignore:The features are not scaled")
def test_samples_are_in_the_units_of_x(digits):
    """Check shape, dtype and range of `sample_ood` for every kind of X."""
    X, y, unknown = digits
    X, y = X[:100], y[:100]
    kind = partial(fast, max_epochs=1)
    rows = kind(image_shape=(1, 8, 8)).fit(X, y).sample_ood(7)
    assert rows.shape == (7, 64) and rows.dtype == np.float32
    assert rows.min() >= 0 and 1 < rows.max() <= 16
    images = (X * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    pixels = kind().fit(images, y).sample_ood(7)
    assert pixels.shape == (7, 1, 8, 8) and pixels.dtype == np.uint8
    assert pixels.max() > 20
    far = 1e6 + 1e3 * X
    samples = kind().fit(far, y).sample_ood(500)
    moving = far.std(axis=0) > 0
    z = (samples - far.mean(axis=0))[:, moving] / far.std(axis=0)[moving]
    assert np.abs(z).max() < 10
    given = kind(ood_source="explicit").fit(X, y, X_ood=unknown)
    known = {row.tobytes() for row in unknown.astype(np.float32)}
    assert all(row.tobytes() in known for row in given.sample_ood(20))


def test_samples_repeat_with_the_seed(digits):
    """Check that an int random_state gives the same samples at every call."""
    X, y, _ = digits
    clf = fast(max_epochs=1).fit(X[:50], y[:50])
    np.testing.assert_array_equal(clf.sample_ood(4), clf.sample_ood(4))


def test_a_source_object_is_cloned(digits):
    """Check that the user's source is not prepared, and its parameters are used."""
    X, y, _ = digits
    source = JointGAN(latent_dim=3)
    clf = fast(ood_source=source, max_epochs=1).fit(X[:50], y[:50])
    assert list(source.parameters()) == []
    assert clf.net_.source_.generator_.features[0].in_features == 3
    clf.set_params(ood_source__latent_dim=4).fit(X[:50], y[:50])
    assert clf.net_.source_.generator_.features[0].in_features == 4


class Wide(OODSource):
    """A user's source: wide normal noise around the data."""

    def __init__(self, factor=5.0):
        super().__init__()
        self.factor = factor

    def prepare(self, x, x_ood, device):
        self.std = x.std(dim=0)

    def sample(self, n):
        return self.factor * self.std * torch.randn(n, len(self.std))


def test_a_source_of_the_users_own(blobs):
    """Check that noise around the data makes far points less confident."""
    X, y = blobs
    clf = fast(ood_source=Wide(), beta=1.0, max_epochs=30).fit(X, y)
    far = np.random.default_rng(0).normal(size=(200, 2)) * 5 * X.std(axis=0)
    assert clf.ood_score(far).mean() > clf.ood_score(X).mean() + 0.3
    assert clf.sample_ood(3).shape == (3, 2)


def test_networks_of_the_users_own(blobs):
    """Check that partials and functions make the networks, with their arguments."""
    X, y = blobs
    made = []

    def discriminator(input_shape):
        made.append(input_shape)
        return torch.nn.Linear(input_shape[0], 1)

    clf = fast(module=partial(MLP, hidden=(7,)), discriminator=discriminator)
    clf.fit(X, y)
    assert clf.net_.module_.head.in_features == 7
    assert made == [(2,)]


def test_what_the_user_gave_is_unchanged(digits):
    """Check arrays, callbacks and the global random states."""
    X, y, unknown = digits

    class Counter(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    counter = Counter()
    callbacks = [counter]
    arrays = [X.copy(), y.copy(), unknown.copy()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())
    clf = fast(ood_source="explicit", max_epochs=2, callbacks=callbacks)
    clf.fit(X, y, X_ood=unknown).sample_ood(3)
    clf.predict(X)
    for array, copy in zip((X, y, unknown), arrays, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert counter.epochs == 0 and callbacks == [counter]
    assert dict(clf.net_.callbacks_)["Counter"].epochs == 2
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


class InPlace(torch.nn.Module):
    """A network that changes its input."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.head = torch.nn.Linear(input_shape[0], n_classes)

    def forward(self, x):
        """Return logits of the rows, moved."""
        x -= 1
        return self.head(x)


@pytest.mark.parametrize("method", ["msp", "odin", "react", "knn"])
@pytest.mark.parametrize("ood_source", [None, "features"])
def test_networks_that_work_in_place(ood_source, method):
    """Check that they see their own copy, of the rows of a read-only file too."""
    X = np.random.default_rng(0).normal(size=(1100, 4)).astype(np.float32)
    y, copy = (X[:, 0] > 0).astype(int), X.copy()
    X.flags.writeable = False
    clf = fast(
        module=InPlace,
        ood_source=ood_source,
        method=method,
        max_epochs=1,
        device="cpu",
    )
    first = clf.fit(X, y).ood_score(X)
    np.testing.assert_array_equal(clf.ood_score(X), first)
    np.testing.assert_array_equal(X, copy)
    head = clf.net_.module_.head
    expected = (copy - 1) @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    logits = clf.net_.logits(X)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ood_source", [None, "joint", "features"])
def test_frozen_weights_stay(blobs, ood_source):
    """Check a network of which a part is not to be trained."""
    X, y = blobs

    def half_frozen(input_shape, n_classes):
        net = MLP(input_shape, n_classes)
        net.requires_grad_(False)
        net.head.requires_grad_(True)
        made.append({name: w.clone() for name, w in net.state_dict().items()})
        return net

    made = []
    clf = fast(
        module=half_frozen, ood_source=ood_source, max_epochs=3, device="cpu"
    ).fit(X, y)
    after = clf.net_.module_.state_dict()
    changed = {name for name, w in made[-1].items() if not torch.equal(w, after[name])}
    assert changed == {"head.weight", "head.bias"}


def test_early_stopping_of_skorch_ends_the_training(blobs):
    """Check that a callback can stop a fit early, and bring the best epoch back."""
    X, y = blobs
    stop = EarlyStopping(
        monitor="train_loss", patience=1, threshold=0.3, load_best=True
    )
    clf = fast(ood_source=None, max_epochs=50, callbacks=[("stop", stop)]).fit(X, y)
    assert 2 <= clf.n_epochs_ < 50
    assert clf.score(X, y) > 0.9


def test_random_states_are_restored_when_fit_raises(digits):
    """Check the global states after an error in the middle of training."""
    X, y, _ = digits

    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise ArithmeticError

    np.random.seed(1), torch.manual_seed(1)
    before = (np.random.get_state()[1].copy(), torch.get_rng_state())
    with pytest.raises(ArithmeticError):
        fast(callbacks=[Fails()]).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_one_seed_for_everything(digits):
    """Check that a seed repeats a fit with dropout, and other seeds do not."""
    X, y, _ = digits
    X, y = X[:100], y[:100]

    def dropout_net(input_shape, n_classes):
        return torch.nn.Sequential(
            torch.nn.Linear(64, 16), torch.nn.Dropout(), torch.nn.Linear(16, n_classes)
        )

    def fit(seed):
        clf = fast(module=dropout_net, max_epochs=2, random_state=seed)
        return clf.fit(X, y).decision_function(X)

    np.testing.assert_array_equal(fit(0), fit(0))
    assert np.abs(fit(0) - fit(1)).max() > 0.01
    moving = np.random.RandomState(0)
    assert np.abs(fit(moving) - fit(moving)).max() > 0.01


@pytest.mark.parametrize("copy", ["pickle", "joblib"])
def test_copies_predict_alike(digits, tmp_path, copy):
    """Check bit equality of predictions and samples after pickle and joblib."""
    X, y, _ = digits
    clf = fast(image_shape=(1, 8, 8), max_epochs=1).fit(X[:100], y[:100])
    if copy == "pickle":
        other = pickle.loads(pickle.dumps(clf))
    else:
        joblib.dump(clf, tmp_path / "clf.joblib")
        other = joblib.load(tmp_path / "clf.joblib")
    np.testing.assert_array_equal(other.decision_function(X), clf.decision_function(X))
    np.testing.assert_array_equal(other.sample_ood(3), clf.sample_ood(3))
    assert other.history_[0]["generator_loss"] == clf.history_[0]["generator_loss"]
    assert clone(clf).get_params() == clf.get_params()


def test_verbose_prints_the_history(blobs, capsys):
    """Check that verbose=2 prints a table with the players, and 0 prints nothing."""
    X, y = blobs
    fast(max_epochs=1).fit(X, y)
    assert capsys.readouterr().out == ""
    fast(max_epochs=1, verbose=2).fit(X, y)
    assert "generator_loss" in capsys.readouterr().out


def test_a_torchvision_model_as_module():
    """Check resnet18 on images of 32x32, with the warning for its BatchNorm."""
    X = np.random.default_rng(0).random((16, 3, 32, 32), dtype=np.float32)
    y = np.arange(16) % 2
    X[y == 1, 0] += 2

    def resnet(input_shape, n_classes):
        return resnet18(num_classes=n_classes)

    clf = fast(module=resnet, max_epochs=8, lr=1e-3, ood_source="noise")
    with pytest.warns(UserWarning, match=r"ResNet has BatchNorm \('bn1' and 19 more\)"):
        clf.fit(X, y)
    assert clf.predict_proba(X).shape == (16, 2)
    assert clf.history_[-1]["cross_entropy"] < clf.history_[0]["cross_entropy"]
