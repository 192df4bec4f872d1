# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the GAN that is trained first, and of the confident objective."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier
from confident_clf.losses import kl_to_uniform, prediction_entropy
from confident_clf.sources import JointGAN, OriginalGAN

CPU = torch.device("cpu")


def test_it_learns_the_distribution_of_the_data():
    """Check mean and correlation of samples against those of the data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        a = torch.randn(512, 1)
        x = torch.cat([a, a + 0.3 * torch.randn(512, 1)], dim=1) + 5
        source = OriginalGAN(latent_dim=4, lr=1e-3, max_epochs=60)
        source.prepare(x, None, CPU)
        samples = source.sample(2000)
    torch.testing.assert_close(samples.mean(0), x.mean(0), atol=0.4, rtol=0)
    assert np.corrcoef(samples.T)[0, 1] > 0.6
    assert len(source.history_) == 60
    assert set(source.history_[0]) == {
        "discriminator_loss",
        "generator_loss",
        "fake_spread",
    }


def test_it_is_frozen_while_the_classifier_trains():
    """Check that networks, BatchNorm's statistics included, stay as prepared."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:100], y[:100] % 2

    def state(max_epochs):
        clf = ConfidentClassifier(
            ood_source=OriginalGAN(max_epochs=1),
            image_shape=(1, 8, 8),
            max_epochs=max_epochs,
            random_state=0,
        ).fit(X, y)
        assert "generator_loss" not in clf.history_[-1]
        return clf.net_.source_.state_dict()

    one, three = state(1), state(3)
    assert any("running_mean" in name for name in one)
    for name in one:
        assert torch.equal(one[name], three[name]), name


def test_the_name_takes_the_classifiers_parameters():
    """Check that "gan" trains for max_epochs at gan_lr, and pickles."""
    X, y = load_digits(return_X_y=True)
    clf = ConfidentClassifier(
        ood_source="gan", max_epochs=2, gan_lr=0.5, latent_dim=3, random_state=0
    ).fit(X[:60], y[:60] % 2)
    source = clf.net_.source_
    assert (len(source.history_), source.lr, source.latent_dim) == (2, 0.5, 3)
    copy = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copy.sample_ood(3), clf.sample_ood(3))


def trained(lr_schedule, max_epochs, lr=1e-3):
    """Return an original GAN trained on 100 rows in two batches an epoch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        source = OriginalGAN(
            latent_dim=4,
            lr=lr,
            lr_schedule=lr_schedule,
            max_epochs=max_epochs,
            batch_size=50,
        )
        source.prepare(torch.randn(100, 3), None, CPU)
    return source


def parameters(source):
    """Return all parameters of a source as one tensor."""
    return torch.cat([p.detach().flatten() for p in source.parameters()])


def test_the_rates_follow_a_schedule():
    """Check what a schedule is asked, and that a factor of 0 stops both networks."""
    asked = []

    def stop_half_way(share):
        asked.append(share)
        return 1.0 if share < 0.5 else 0.0

    stopped = trained(stop_half_way, max_epochs=4)
    assert asked == [0.0, *(i / 8 for i in range(8))]  # checked first, then each step
    assert torch.equal(parameters(stopped), parameters(trained(None, max_epochs=2)))
    assert len(stopped.history_) == 4


def test_the_reference_schedule():
    """Check "step": a tenth of both rates in the last two of five epochs."""
    ours = trained("step", max_epochs=5)
    same = trained(lambda share: 1.0 if share * 5 < 3 else 0.1, max_epochs=5)
    assert torch.equal(parameters(ours), parameters(same))
    assert not torch.equal(parameters(ours), parameters(trained(None, max_epochs=5)))
    # The first steps of Adam are as long as the rate: a tenth moves a tenth.
    start = parameters(trained(None, 1, lr=1e-30))
    whole, tenth = (
        (parameters(trained(s, 1)) - start).norm() for s in (None, lambda share: 0.1)
    )
    assert tenth / whole == pytest.approx(0.1, rel=0.1)
    groups = ours.generator_optimizer_.param_groups
    assert [group["lr"] for group in groups] == [1e-3]  # its own rate again


@pytest.mark.parametrize("schedule", [None, "step", "one_cycle"])
def test_the_name_takes_the_classifier_s_schedule(schedule):
    """Check that "gan" follows the classifier's schedule; by default, the default."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    clf = ConfidentClassifier(
        ood_source="gan", max_epochs=3, lr_schedule=schedule, random_state=0
    ).fit(X, np.arange(40) % 2)
    other = ConfidentClassifier(
        ood_source=OriginalGAN(max_epochs=3, lr_schedule=schedule),
        max_epochs=3,
        lr_schedule=schedule,
        random_state=0,
    ).fit(X, np.arange(40) % 2)
    np.testing.assert_array_equal(clf.sample_ood(5), other.sample_ood(5))
    assert clf.net_.source_.lr_schedule == schedule
    assert OriginalGAN().lr_schedule == ConfidentClassifier().lr_schedule


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ("steps", ValueError, "lr_schedule"),
        (lambda share: -1.0, ValueError, r"lr_schedule\(0.0\) is -1.0"),
        (lambda share: "fast", TypeError, "is 'fast'"),
    ],
)
def test_a_wrong_schedule_is_refused(schedule, error, message):
    """Check the error, before any step."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    clf = ConfidentClassifier(ood_source=OriginalGAN(lr_schedule=schedule))
    with pytest.raises(error, match=message):
        clf.fit(X, np.arange(40) % 2)


def test_prediction_entropy_has_its_closed_form():
    """Check the entropy of two classes, and its gradient by finite differences."""
    p = 0.2
    logits = torch.tensor([[np.log(p), np.log(1 - p)]], dtype=torch.float64)
    expected = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert prediction_entropy(logits).item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(prediction_entropy, logits.requires_grad_())


def test_the_objective_decides_how_sure_the_classifier_is_of_samples():
    """Check that "confident" moves samples where a fixed classifier is sure."""

    def entropy(objective):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            x = torch.randn(64, 2)
            classifier = torch.nn.Linear(2, 2)
            torch.nn.init.eye_(classifier.weight)
            net = SimpleNamespace(
                module_=classifier,
                beta=5.0,
                ood_target="uniform",
                ood_loss=kl_to_uniform,
            )
            source = JointGAN(latent_dim=4, lr=2e-3, objective=objective)
            source.prepare(x, None, CPU)
            for _ in range(100):
                fake = source._generate(64)
                source._step_discriminator(source._standardize(x), fake.detach())
                source._step_generator(fake, net)
            return prediction_entropy(classifier(source.sample(500))).item()

    assert entropy("boundary") > entropy("confident") + 0.1
