# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the sources: units, parameters, and what they may be given."""

import pickle
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from sklearn.base import clone

from confident_clf.losses import kl_to_uniform
from confident_clf.modules import DCGenerator
from confident_clf.sources import ExplicitOOD, JointGAN, OODSource

CPU = torch.device("cpu")


class Net(NamedTuple):
    """What a source sees of the net."""

    module_: torch.nn.Module
    beta: float
    ood_target: str = "uniform"
    ood_loss: Callable = staticmethod(kl_to_uniform)


def test_gan_learns_range_of_images():
    """Check that samples of images lie in each channel's range, uint8 in [0, 1]."""
    torch.manual_seed(0)
    x = torch.rand(6, 2, 8, 8) * torch.tensor([5.0, 100.0])[:, None, None] - 3
    source = JointGAN(latent_dim=4)
    source.prepare(x, None, CPU)
    assert torch.equal(source.offset_.flatten(), x.amin(dim=(0, 2, 3)))
    samples = source.sample(50)
    assert (samples.amin(dim=(0, 2, 3)) >= x.amin(dim=(0, 2, 3))).all()
    assert (samples.amax(dim=(0, 2, 3)) <= x.amax(dim=(0, 2, 3)) + 1e-4).all()
    pixels = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    pixels[0, 0, 0, :2] = torch.tensor([0, 255])
    source = JointGAN(latent_dim=4)
    source.prepare(pixels, None, CPU)
    assert source.offset_.item() == 0 and source.scale_.item() == 1


def test_gan_learns_location_and_scale_of_rows():
    """Check the units of rows against mean and deviation; constants stay constant."""
    torch.manual_seed(0)
    x = torch.randn(200, 3) * torch.tensor([1e6, 1e-3, 0.0]) + 7
    source = JointGAN(latent_dim=4)
    source.prepare(x, None, CPU)
    torch.testing.assert_close(source.offset_, x.mean(dim=0))
    torch.testing.assert_close(source.scale_[:2], x.std(dim=0, correction=0)[:2])
    assert source.scale_[2] == 0
    assert (source.sample(20)[:, 2] == 7).all()
    assert (source._standardize(x)[:, 2] == 0).all()
    torch.testing.assert_close(
        source._standardize(x)[:, :2].std(dim=0, correction=0), torch.ones(2)
    )


def test_gan_step_reports_losses_without_graph():
    """Check the names of the losses, and that they keep no graph alive."""
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    source = JointGAN(latent_dim=4)
    source.prepare(x, None, CPU)
    losses = source.step(x, Net(torch.nn.Linear(3, 2), 0.1))
    assert list(losses) == ["discriminator_loss", "generator_loss"]
    assert not any(loss.requires_grad for loss in losses.values())


def test_explicit_draws_the_given_rows():
    """Check that every sample is one of the rows, all are drawn, uint8 is scaled."""
    torch.manual_seed(0)
    rows = torch.arange(0, 250, 50, dtype=torch.uint8)[:, None]
    source = ExplicitOOD()
    source.prepare(rows, rows, CPU)
    samples = source.sample(200)
    torch.testing.assert_close(samples.unique(), rows[:, 0] / 255)
    assert samples.dtype == torch.float32


def test_sources_clone_and_pickle():
    """Check that clones are unprepared, and pickles keep networks and optimizers."""
    torch.manual_seed(0)
    source = JointGAN(latent_dim=4, lr=0.5)
    source.prepare(torch.randn(10, 3), None, CPU)
    fresh = clone(source)
    assert fresh.get_params() == source.get_params()
    assert list(fresh.parameters()) == []
    copy = pickle.loads(pickle.dumps(source))
    torch.manual_seed(1)
    samples = source.sample(3)
    torch.manual_seed(1)
    assert torch.equal(copy.sample(3), samples)
    owned = {id(p) for p in copy.generator_.parameters()}
    (group,) = copy.generator_optimizer_.param_groups
    assert {id(p) for p in group["params"]} == owned


def test_entropy_weight_spreads_the_samples():
    """Check that the pull-away term makes the samples less alike."""

    def mean_cosine(entropy_weight):
        torch.manual_seed(0)
        x = torch.randn(64, 6)
        source = JointGAN(latent_dim=4, lr=2e-3, entropy_weight=entropy_weight)
        source.prepare(x, None, CPU)
        for _ in range(60):
            source.step(x, Net(torch.nn.Linear(6, 2), 0.0))
        features = source.discriminator_.features(
            source._standardize(source.sample(64))
        )
        unit = torch.nn.functional.normalize(features, dim=1)
        return (unit @ unit.T).square().mean().item()

    assert mean_cosine(20.0) < mean_cosine(0.0) - 0.05


class Wrong(torch.nn.Module):
    """A network that returns too much."""

    def __init__(self, *args):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return self.bias.expand(len(x), 2)


@pytest.mark.parametrize(
    ("source", "shape", "error", "message"),
    [
        (JointGAN(), (1, 7, 9), ValueError, "7x9 pixels are too small .* generator"),
        (JointGAN(Wrong), (3,), ValueError, r"generator=Wrong .*\(n, 3\)"),
        (JointGAN(None, Wrong), (3,), ValueError, "discriminator=Wrong .* one logit"),
        (JointGAN(len), (3,), TypeError, "len"),
        (JointGAN(lambda *a: 3), (3,), TypeError, "torch.nn.Module; it returned int"),
        (
            JointGAN(DCGenerator(4, (1, 8, 8))),
            (1, 8, 8),
            TypeError,
            "instance of DCGenerator",
        ),
    ],
)
def test_gan_refuses_networks_that_do_not_fit(source, shape, error, message):
    """Check that errors name the parameter and what was wrong."""
    with pytest.raises(error, match=message):
        source.prepare(torch.rand(8, *shape), None, CPU)


def test_entropy_weight_needs_features():
    """Check that a discriminator without features is refused by name."""

    class Plain(torch.nn.Linear):
        def __init__(self, input_shape):
            super().__init__(input_shape[0], 1)

    source = JointGAN(None, Plain, entropy_weight=0.1)
    with pytest.raises(ValueError, match=r"entropy_weight=0.1 needs .* Plain has none"):
        source.prepare(torch.rand(8, 3), None, CPU)


def test_a_source_must_say_how_to_sample():
    """Check that a source without `sample` cannot be made."""

    class Nothing(OODSource):
        pass

    with pytest.raises(TypeError, match="sample"):
        Nothing()


@pytest.mark.parametrize(("shape", "lr"), [((3,), 2e-4), ((1, 8, 8), 1e-3)])
def test_default_learning_rate_depends_on_the_data(shape, lr):
    """Check the rate of both optimizers, by default and as given."""
    for given, expected in [(None, lr), (0.25, 0.25)]:
        source = JointGAN(lr=given)
        source.prepare(torch.rand(8, *shape), None, CPU)
        for optimizer in (source.generator_optimizer_, source.discriminator_optimizer_):
            assert optimizer.param_groups[0]["lr"] == expected
