# SPDX-License-Identifier: BSD-3-Clause
"""Tests of trainings that go wrong: divergence, collapse, Ctrl-C."""

import pickle
import re
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from confident_clf import ConfidentClassifier, DivergenceError
from confident_clf._training._collapse import gan_problems
from confident_clf._training._divergence import located, refuse_non_finite
from confident_clf._training._optim import adamw
from confident_clf.modules import MLP, MLPDiscriminator, MLPGenerator
from confident_clf.sources import JointGAN, OODSource, OriginalGAN

X, Y = load_digits(return_X_y=True)
X, Y = X[Y < 5][:320] / 16, Y[Y < 5][:320]  # 5 batches of 64
# In the setting of the paper.
fast = partial(
    ConfidentClassifier, ood_source="joint", method="msp", max_epochs=4, random_state=0
)


class Spoilt(torch.autograd.Function):
    """The identity, whose gradient or value is not finite when that is wanted."""

    @staticmethod
    def forward(ctx, x, spoils_value, spoils_gradient):
        ctx.spoils_gradient = spoils_gradient
        return x * torch.nan if spoils_value else x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return (gradient * torch.inf if ctx.spoils_gradient else gradient), None, None


def spoilt(network, at, value=False, gradient=False):
    """Return a class like `network` that fails in its training pass number `at`."""

    class Network(network):
        n_passes = 0

        def forward(self, x):
            out = super().forward(x)
            if self.training and torch.is_grad_enabled():
                self.n_passes += 1
                now = self.n_passes == at
                out = Spoilt.apply(out, now and value, now and gradient)
            return out

    Network.__name__ = network.__name__
    return Network


@pytest.mark.parametrize("kind", ["value", "gradient"])
def test_the_classifier(kind):
    """Check place, earlier fit, and the classifier of the last finished epoch.

    That is the one of a fit that is stopped there: epoch 3 is spoilt, 5 batches each.
    """
    clf = fast(ood_source=None, lr_schedule=None).fit(X, Y)
    before, expected = vars(clf).copy(), clf.decision_function(X)
    clf.set_params(module=spoilt(MLP, at=12, **{kind: True}))
    before["module"] = clf.module
    with pytest.raises(DivergenceError, match="epoch 3, batch 2") as caught:
        clf.fit(X, Y)
    error = caught.value
    assert (error.player, error.epoch, error.batch) == ("classifier", 3, 2)
    assert "smaller learning rate (lr" in str(error)
    assert "as it was after epoch 2" in str(error)
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.decision_function(X), expected)
    two = fast(ood_source=None, lr_schedule=None, max_epochs=2).fit(X, Y)
    assert error.classifier.n_epochs_ == 2
    np.testing.assert_array_equal(
        error.classifier.decision_function(X), two.decision_function(X)
    )
    np.testing.assert_array_equal(error.classifier.ood_score(X), two.ood_score(X))


@pytest.mark.parametrize(
    ("player", "at", "place"),
    [
        # One pass a batch of the generator: with its graph in the joint step only once.
        ("generator", 7, (2, 2)),
        # Two of the discriminator: its own and the generator's.
        ("discriminator", 13, (2, 2)),
    ],
)
@pytest.mark.parametrize("kind", ["value", "gradient"])
def test_the_gan(player, at, place, kind):
    """Check that a GAN's players are found, and their weights not touched."""
    network = {"generator": MLPGenerator, "discriminator": MLPDiscriminator}[player]
    gan = JointGAN(**{player: spoilt(network, at=at, **{kind: True})})
    with pytest.raises(DivergenceError) as caught:
        fast(ood_source=gan).fit(X, Y)
    error = caught.value
    assert (error.epoch, error.batch) == place
    if kind == "gradient":
        assert error.player == player
    source = error.classifier.net_.source_
    weights = torch.cat([p.flatten() for p in source.parameters()])
    assert weights.isfinite().all()
    assert np.isfinite(error.classifier.sample_ood(5)).all()


def test_the_original_gan():
    """Check the place in the GAN's own training, before that of the classifier."""
    gan = OriginalGAN(generator=spoilt(MLPGenerator, at=8, gradient=True))
    with pytest.raises(DivergenceError, match="No epoch of this call") as caught:
        fast(ood_source=gan).fit(X, Y)
    error = caught.value
    assert (error.player, error.epoch, error.batch) == ("generator", 2, 3)
    assert error.classifier is None


def test_weights_of_a_finite_step():
    """Check that a step so large that weights overflow is found in its own epoch."""
    with pytest.raises(DivergenceError) as caught:
        fast(ood_source=None, lr=1e38, lr_schedule=None, batch_size=320).fit(X, Y)
    assert caught.value.epoch <= 2


def test_losses_of_a_users_source():
    """Check that a source's own loss is looked at, at the end of the epoch."""

    class Lossy(OODSource):
        def prepare(self, x, x_ood, device):
            self.n_calls_ = 0

        def step(self, x, net):
            self.n_calls_ += 1
            return {
                "teacher_loss": torch.tensor([1.0, torch.inf])[int(self.n_calls_ == 8)]
            }

        def sample(self, n):
            return torch.rand(n, 64)

    with pytest.raises(DivergenceError) as caught:
        fast(ood_source=Lossy()).fit(X, Y)
    error = caught.value
    assert (error.player, error.epoch, error.batch) == ("teacher", 2, 3)
    assert error.loss == np.inf


def test_going_on_after_it():
    """Check that the classifier of the error can be trained further."""
    clf = fast(module=spoilt(MLP, at=12, gradient=True), ood_source=None)
    with pytest.raises(DivergenceError) as caught:
        clf.fit(X, Y)
    rescued = caught.value.classifier
    for _ in range(10):
        rescued.partial_fit(X, Y)
    assert rescued.n_epochs_ == 12
    assert rescued.score(X, Y) > 0.9


def test_nothing_is_left_of_the_batch():
    """Check samples and attributes of the rescued source."""
    clf = fast(
        module=spoilt(MLP, at=12, gradient=True),
        ood_source=JointGAN(),
    )
    with pytest.raises(DivergenceError, match="classifier diverged") as caught:
        clf.fit(X, Y)
    rescued = caught.value.classifier
    assert rescued.sample_ood(5).shape == (5, 64)
    whole = fast(ood_source=JointGAN()).fit(X, Y)
    assert vars(rescued.net_.source_).keys() == vars(whole.net_.source_).keys()


def test_warm_start_and_its_earlier_epochs():
    """Check that a divergence in the first new epoch leaves the earlier fit alone."""
    clf = fast(module=spoilt(MLP, at=22, value=True), ood_source=None, warm_start=True)
    expected = clf.fit(X, Y).decision_function(X)
    with pytest.raises(DivergenceError, match="epoch 5, batch 2") as caught:
        clf.fit(X, Y)
    assert caught.value.classifier is None
    np.testing.assert_array_equal(clf.decision_function(X), expected)
    assert clf.n_epochs_ == 4


def test_with_a_checkpoint(tmp_path):
    """Check that the last finished epoch is in the folder, to go on from."""
    Network = spoilt(MLP, at=12, gradient=True)
    clf = fast(module=Network, ood_source=None, checkpoint=tmp_path)
    with pytest.raises(DivergenceError):
        clf.fit(X, Y)
    # The resumed process makes 10 passes, the spoilt one is number 12.
    assert clf.fit(X, Y).n_epochs_ == 4
    expected = fast(ood_source=None).fit(X, Y).decision_function(X)
    np.testing.assert_array_equal(clf.decision_function(X), expected)


def test_the_error_can_be_pickled():
    """Check that it comes out of another process, as joblib sends it."""
    error = pickle.loads(pickle.dumps(DivergenceError("generator", 2.5, 3, 4)))
    assert (error.player, error.loss, error.epoch, error.batch) == (
        "generator",
        2.5,
        3,
        4,
    )
    assert "epoch 3, batch 4" in str(error)
    assert "loss 2.5" in str(error)


def test_flags_instead_of_waiting():
    """Check what is done on a GPU, with the same fused kernel of the CPU.

    From the first gradient that is not finite nothing moves, and the end of the epoch
    says which step that was, however many steps there were before the epoch.
    """
    parameter = nn.Parameter(torch.ones(3))
    optimizer = adamw([{"params": [parameter]}], lr=0.1, weight_decay=0)
    loss = SimpleNamespace(is_cuda=True, device=torch.device("cpu"))

    def step(gradient):
        parameter.grad = torch.full((3,), gradient)
        refuse_non_finite("classifier", loss, [parameter], optimizer)
        optimizer.step()

    for _ in range(4):
        step(1.0)
    with pytest.raises(DivergenceError) as caught, located(2, [optimizer]):
        step(1.0)
        step(1.0)
        before = parameter.detach().clone()
        step(torch.nan)
        step(1.0)
    assert (caught.value.epoch, caught.value.batch) == (2, 3)
    torch.testing.assert_close(parameter.detach(), before, rtol=0, atol=0)
    torch.testing.assert_close(before, torch.full((3,), 0.4))
    with located(3, [optimizer]):  # the flag is gone with the error
        step(1.0)
    torch.testing.assert_close(parameter.detach(), torch.full((3,), 0.3))


@pytest.mark.parametrize("dtypes", [["float32", "float64"], ["complex64"]])
def test_gradients_of_other_kinds(dtypes):
    """Check parameters for which there is no fused kernel."""
    parameters = [nn.Parameter(torch.ones(2, dtype=getattr(torch, d))) for d in dtypes]
    optimizer = torch.optim.Adam(parameters)
    loss = torch.tensor(1.0)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    refuse_non_finite("classifier", loss, parameters, optimizer)
    parameters[-1].grad[1] = torch.nan
    with pytest.raises(DivergenceError):
        refuse_non_finite("classifier", loss, parameters, optimizer)


@pytest.mark.parametrize(
    ("last", "found"),
    [
        ({"discriminator_loss": 1e-3}, "recognises all generated samples"),
        ({"discriminator_loss_1": 1e-3}, "discriminator_loss_1 0.001"),
        ({"fake_spread": 1e-4}, "are all alike"),
        (
            {"kl": 1e-7, "discriminator_loss": 1.0, "cross_entropy": 0.4},
            "unsure of .* from the start",
        ),
        # It is unsure of the training samples too: it has only not learnt them yet.
        ({"kl": 1e-7, "discriminator_loss": 1.0, "cross_entropy": 0.6}, None),
        ({"kl": 1e-7}, None),
        ({"discriminator_loss": 1.3, "fake_spread": 0.2, "kl": 0.01}, None),
        ({"fake_spread": float("nan")}, None),
    ],
)
def test_what_is_a_problem(last, found):
    """Check one figure at a time, in an epoch that is the last and the only one."""
    first = {"kl": 1e-7, "discriminator_loss": 1.3, "cross_entropy": 1.0}
    problems = gan_problems([first, last])
    assert len(problems) == (found is not None)
    for problem in problems:
        assert re.search(found, problem)


def test_kl_that_was_something_once():
    """Check that a classifier that has learnt to be unsure is no problem."""
    rows = [
        {"kl": 0.5, "discriminator_loss": 1.0, "cross_entropy": 1.0},
        {"kl": 0, "discriminator_loss": 1.0, "cross_entropy": 0.1},
    ]
    assert gan_problems(rows) == []
    assert gan_problems([]) == []


def far_generator(latent_dim, output_shape):
    """Return a generator whose samples are far from the data, and all alike."""
    network = nn.Sequential(nn.Linear(latent_dim, *output_shape))
    nn.init.zeros_(network[0].weight)
    nn.init.constant_(network[0].bias, 50.0)
    return network


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (1e-6, r"all alike \(fake_spread \d"),
        (1e-2, r"recognises all generated samples \(discriminator_loss 0\.0"),
    ],
)
@pytest.mark.parametrize("source", [JointGAN, partial(OriginalGAN, max_epochs=20)])
def test_a_collapsed_gan(source, lr, message):
    """Check the warning for one sample that stays, and for samples easy to tell."""
    gan = source(far_generator, lr=lr, latent_dim=2)
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        clf = fast(ood_source=gan, max_epochs=20).fit(X, Y)
    assert len(caught) == 1
    assert clf.score(X, Y) > 0.9


def test_figures_of_the_gan():
    """Check fake_spread against the samples of a generator that stays as it is."""
    gan = JointGAN(noise_generator, latent_dim=64, lr=1e-12)
    clf = fast(ood_source=gan, batch_size=320).fit(X, Y)
    # Standard normal in standard units, features that vary: as spread as the data.
    assert clf.history_[-1]["fake_spread"] == pytest.approx(1, abs=0.05)
    gan = JointGAN(partial(noise_generator, scale=0.3), latent_dim=64, lr=1e-12)
    clf = fast(ood_source=gan, batch_size=320).fit(X, Y)
    assert clf.history_[-1]["fake_spread"] == pytest.approx(0.3, abs=0.02)


def noise_generator(latent_dim, output_shape, scale=1.0):
    """Return a generator of independent normal features."""
    network = nn.Sequential(nn.Linear(latent_dim, *output_shape))
    nn.init.eye_(network[0].weight).data.mul_(scale)
    nn.init.zeros_(network[0].bias)
    return network


CTRL_C = """
import os, signal, sys, numpy as np, torch
from confident_clf import ConfidentClassifier
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

# A background process may have been started with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Begun(Callback):
    def on_epoch_end(self, net, **kwargs):
        print("epoch", flush=True)
        if sys.argv[1] == "callback":
            os.kill(os.getpid(), signal.SIGINT)

X, y = load_digits(return_X_y=True)
clf = ConfidentClassifier(max_epochs=2, random_state=0).fit(X / 16, y)
before = clf.decision_function(X / 16)
try:
    clf.set_params(max_epochs=10_000, callbacks=[Begun()]).fit(X / 16, y)
except KeyboardInterrupt:
    np.testing.assert_array_equal(clf.decision_function(X / 16), before)
    print("interrupted", clf.n_epochs_)
"""


@pytest.mark.parametrize("where", ["training", "callback"])
def test_ctrl_c(where):
    """Check a real signal in the middle of a fit: it is raised, the fit is kept.

    Also while a callback runs, of which a KeyboardInterrupt of its own would end the
    training as if it were done.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", CTRL_C, where], stdout=subprocess.PIPE, text=True
    )
    with process.stdout as lines:
        assert lines.readline() == "epoch\n"
        if where == "training":
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        last = lines.read().split("\n")[-2]
    assert process.wait() == 0
    assert last == "interrupted 2"
