# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the training step: who moves, in which order, and by how much."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, GradientNormClipping
from torch.nn import functional as F

from confident_clf import ConfidentClassifier, DivergenceError
from confident_clf._training._fit import train
from confident_clf._training._net import JointNet
from confident_clf.modules import MLP
from confident_clf.sources import ExplicitOOD, JointGAN, OODSource


def make_net(source, module=None, beta=0.5, **params):
    """Return a net whose source has seen 40 rows of 3 features, and those rows."""
    torch.manual_seed(0)
    x = 2 + 3 * torch.randn(40, 3)
    defaults = {"optimizer": torch.optim.Adam, "lr": 0.01, "batch_size": 20}
    net = JointNet(
        module or partial(MLP, (3,), 4, hidden=(8,)),
        source=source,
        beta=beta,
        max_epochs=1,
        device="cpu",
        verbose=0,
        **{**defaults, **params},
    ).initialize()
    if source is not None:
        net.source_.prepare(x, x + 10, torch.device("cpu"))
    return net, x


def players(net):
    """Return copies of the parameters of every player."""
    networks = {
        "classifier": net.module_,
        "generator": net.source_.generator_,
        "discriminator": net.source_.discriminator_,
    }
    return {
        name: [p.detach().clone() for p in network.parameters()]
        for name, network in networks.items()
    }


def moved(before, after):
    """Return the names of the players of which every parameter changed."""
    changes = {
        name: [
            not torch.equal(a, b)
            for a, b in zip(before[name], after[name], strict=True)
        ]
        for name in before
    }
    assert all(all(c) or not any(c) for c in changes.values())
    return {name for name, change in changes.items() if all(change)}


def test_each_step_moves_its_own_player_only():
    """Check the parameters of all players before and after each player's step."""
    net, x = make_net(JointGAN(latent_dim=5))
    source = net.source_
    y = torch.arange(40) % 4
    start = players(net)
    fake = source._generate(40)
    source._step_discriminator(source._standardize(x), fake.detach())
    after_d = players(net)
    assert moved(start, after_d) == {"discriminator"}
    source._step_generator(fake, net)
    after_g = players(net)
    assert moved(after_d, after_g) == {"generator"}
    net._step_classifier(x, y)
    assert moved(after_g, players(net)) == {"classifier"}


def test_no_step_computes_a_gradient_that_nobody_uses():
    """Check that only the moving player has gradients after its step."""
    net, _ = make_net(JointGAN(latent_dim=5))
    source = net.source_
    source._step_generator(source._generate(40), net)
    assert all(p.grad is None for p in source.discriminator_.parameters())
    assert all(p.grad is None for p in net.module_.parameters())
    assert all(p.grad is not None for p in source.generator_.parameters())
    assert not source.sample(3).requires_grad


def test_step_is_the_textbook_step():
    """Check one batch in float64 against the three losses written from the paper."""
    beta, lr = 0.5, 0.01
    net, x = make_net(JointGAN(latent_dim=5, entropy_weight=0.1), beta=beta)
    net.module_.double()
    net.source_.double()
    x, y = x.double(), torch.arange(40) % 4
    torch.set_default_dtype(torch.float64)
    try:
        C, G, D = map(
            deepcopy, (net.module_, net.source_.generator_, net.source_.discriminator_)
        )
        offset, scale = x.mean(dim=0), x.std(dim=0, correction=0)
        net.source_.offset_, net.source_.scale_ = offset, scale
        net.source_.divisor_ = scale
        torch.manual_seed(1)
        net.train_step((x, y))

        torch.manual_seed(1)
        bce = F.binary_cross_entropy_with_logits
        one, zero = torch.ones(40, 1), torch.zeros(40, 1)
        adam = partial(torch.optim.Adam, betas=(0.5, 0.999), lr=2e-4)
        opt_d, opt_g = adam(D.parameters()), adam(G.parameters())
        opt_c = torch.optim.Adam(C.parameters(), lr=lr)
        z = torch.randn(40, 5)

        opt_d.zero_grad()
        real = (x - offset) / scale
        (bce(D(real), one) + bce(D(G(z).detach()), zero)).backward()
        opt_d.step()

        opt_g.zero_grad()
        log_p = F.log_softmax(C(offset + scale * G(z)), dim=1)
        kl = F.kl_div(log_p, torch.full((40, 4), 0.25), reduction="batchmean")
        f = F.normalize(D.features(G(z)))
        pull_away = ((f @ f.T).square().sum() - 40) / (40 * 39)
        (bce(D(G(z)), one) + beta * kl + 0.1 * pull_away).backward()
        opt_g.step()

        opt_c.zero_grad()
        fake = (offset + scale * G(torch.randn(40, 5))).detach()
        log_p = F.log_softmax(C(fake), dim=1)
        kl = F.kl_div(log_p, torch.full((40, 4), 0.25), reduction="batchmean")
        (F.cross_entropy(C(x), y) + beta * kl).backward()
        opt_c.step()
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, textbook in [
        (net.module_, C),
        (net.source_.generator_, G),
        (net.source_.discriminator_, D),
    ]:
        for a, b in zip(ours.parameters(), textbook.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


class BatchNormNet(torch.nn.Sequential):
    """A classifier that normalises over the batch."""

    def __init__(self):
        super().__init__(
            torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 4)
        )


def test_generator_step_leaves_the_classifiers_batch_norm_alone():
    """Check that running statistics see the classifier's own step only, once."""
    net, x = make_net(JointGAN(latent_dim=5), module=BatchNormNet)
    norm = net.module_[1]
    net.source_.step(x, net)
    assert norm.num_batches_tracked.item() == 0
    assert net.module_.training
    net._step_classifier(x, torch.arange(40) % 4)
    assert norm.num_batches_tracked.item() == 1


class Recorder(torch.nn.Sequential):
    """A classifier that records in which mode its passes were made."""

    def __init__(self, *layers):
        super().__init__(torch.nn.Linear(3, 8), *layers, torch.nn.Linear(8, 4))
        self.modes = []

    def forward(self, x):
        self.modes.append([layer.training for layer in self])
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (torch.nn.Dropout(0.5), True),
        (torch.nn.LayerNorm(8), True),
        (torch.nn.GroupNorm(2, 8), True),
        (torch.nn.BatchNorm1d(8), False),
        (torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(8)), False),
        (torch.nn.SyncBatchNorm(8), False),
    ],
    ids=lambda value: value if isinstance(value, bool) else type(value).__name__,
)
def test_mode_of_the_classifier_in_the_generator_s_step(layer, mode):
    """Check that dropout stays on as in the reference code, unless there is BatchNorm.

    Only the generator's step is watched; afterwards the classifier is in training mode.
    """
    net, _ = make_net(JointGAN(latent_dim=5), module=partial(Recorder, layer))
    net.module_.modes.clear()
    net.source_._step_generator(net.source_._generate(20), net)
    assert net.module_.modes == [[mode] * 3]
    assert all(module.training for module in net.module_.modules())


@pytest.mark.parametrize("objective", ["boundary", "confident"])
def test_the_generator_sees_the_classifier_s_dropout(objective):
    """Check the generator's gradient against one computed with the same mask."""
    module = partial(Recorder, torch.nn.Dropout(0.5))
    net, _ = make_net(JointGAN(latent_dim=5, objective=objective), module=module)
    source = net.source_
    fake = source._generate(20)
    D, C = deepcopy(source.discriminator_), deepcopy(net.module_)
    torch.manual_seed(3)
    log_p = F.log_softmax(C(source.offset_ + source.scale_ * fake), dim=1)
    if objective == "boundary":
        term = F.kl_div(log_p, torch.full((20, 4), 0.25), reduction="batchmean")
    else:
        term = -(log_p.exp() * log_p).sum(dim=1).mean()
    loss = F.binary_cross_entropy(D(fake).sigmoid(), torch.ones(20, 1)) + 0.5 * term
    parameters = list(source.generator_.parameters())
    expected = torch.autograd.grad(loss, parameters, retain_graph=True)
    torch.manual_seed(3)
    source._step_generator(fake, net)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_batch_norm_sees_training_samples_only():
    """Check its running mean after a step whose OOD samples are far away."""
    net, x = make_net(ExplicitOOD(), module=BatchNormNet)
    net.source_.rows = x[:1] + 1000
    norm = net.module_[1]
    with torch.no_grad():
        expected = 0.1 * net.module_[0](x).mean(dim=0)
    net._step_classifier(x, torch.arange(40) % 4)
    torch.testing.assert_close(norm.running_mean, expected)


class Constant(OODSource):
    """A user's source without networks: always the same sample."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = value

    def sample(self, n):
        return torch.full((n, 3), self.value)


def test_source_of_the_users_own_trains_the_classifier():
    """Check that predictions at a user's OOD sample become uniform."""
    net, x = make_net(Constant(9.0), beta=5.0)
    train(net, x, torch.arange(40) % 4, None, epochs=200)
    probabilities = net.module_(torch.full((1, 3), 9.0)).softmax(dim=1)
    torch.testing.assert_close(
        probabilities, torch.full((1, 4), 0.25), atol=0.02, rtol=0
    )


@pytest.mark.parametrize(
    "samples", [torch.zeros(20, 4), torch.zeros(19, 3), torch.zeros(20, 3).double()]
)
def test_samples_must_be_like_the_data(samples):
    """Check that another shape, number or dtype of samples is named."""

    class Wrong(Constant):
        def sample(self, n):
            return samples

    net, x = make_net(Wrong())
    with pytest.raises(ValueError, match=r"Wrong\(\) must return 20 samples like"):
        train(net, x, torch.arange(40) % 4, None, epochs=1)


def test_logits_do_not_depend_on_the_batch():
    """Check bit equality between one call and calls of every other size."""
    net, _ = make_net(None)
    x = np.random.default_rng(0).normal(size=(1300, 3)).astype(np.float32)
    together = net.logits(x)
    for size in (1, 3, 511, 512, 700):
        parts = [net.logits(x[i : i + size]) for i in range(0, 1300, size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)
    np.testing.assert_allclose(
        together, net.module_(torch.from_numpy(x)).detach(), atol=1e-5
    )


def test_keyboard_interrupt_is_not_swallowed():
    """Check that Ctrl-C ends training with KeyboardInterrupt."""

    class CtrlC(Constant):
        def sample(self, n):
            raise KeyboardInterrupt

    net, x = make_net(CtrlC())
    with pytest.raises(KeyboardInterrupt):
        train(net, x, torch.arange(40) % 4, None, epochs=1)


@pytest.mark.parametrize("source", [None, JointGAN()])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_clipped_gradients_are_what_moves_the_weights(source, bfloat16):
    """Check the length of a step of plain descent: the rate times the clipped norm."""
    clip = GradientNormClipping(1e-3)
    params = {"optimizer": torch.optim.SGD, "lr": 0.5, "batch_size": 40}
    net, x = make_net(source, callbacks=[clip], bfloat16=bfloat16, **params)
    before = torch.nn.utils.parameters_to_vector(net.module_.parameters())
    train(net, x, torch.arange(40) % 4, None, epochs=1)
    after = torch.nn.utils.parameters_to_vector(net.module_.parameters())
    assert (after - before).norm().item() == pytest.approx(0.5e-3, rel=1e-3)


class Gradients(Callback):
    """Keep what a callback is told of gradients; then do something to them."""

    def __init__(self, change=lambda gradient: None):
        self.change = change
        self.seen = []

    def on_grad_computed(self, net, named_parameters, batch, training, **kwargs):
        net.predict_proba(batch[0].numpy())
        gradients = {name: p.grad.norm().item() for name, p in named_parameters}
        self.seen.append((gradients, len(batch[0]), training))
        for _, parameter in named_parameters:
            self.change(parameter.grad)


def test_what_callbacks_are_told_of_gradients():
    """Check names, batches and the mode of the module, for a fit of two epochs."""
    net, x = make_net(JointGAN(), callbacks=[Gradients()])
    train(net, x, torch.arange(40) % 4, None, epochs=2)
    seen = dict(net.callbacks_)["Gradients"].seen
    names = {name for name, _ in net.module_.named_parameters()}
    assert [(set(g), n, training) for g, n, training in seen] == [(names, 20, True)] * 4
    assert all(norm > 0 for norm in seen[0][0].values())


def test_a_callback_may_mend_or_spoil_gradients():
    """Check that zeros stand still, and that NaN does not reach the weights."""
    y = torch.arange(40) % 4
    zeros = Gradients(torch.Tensor.zero_)
    net, x = make_net(None, callbacks=[zeros], optimizer=torch.optim.SGD)
    before = [p.clone() for p in net.module_.parameters()]
    train(net, x, y, None, epochs=1)
    assert all(map(torch.equal, before, net.module_.parameters()))
    spoil = Gradients(lambda gradient: gradient.fill_(torch.nan))
    net, x = make_net(None, callbacks=[spoil])
    with pytest.raises(DivergenceError) as caught:
        train(net, x, y, None, epochs=1)
    assert (caught.value.epoch, caught.value.batch) == (1, 1)
    assert all(p.isfinite().all() for p in net.module_.parameters())


def test_a_callback_may_stop_between_gradient_and_step():
    """Check that the net can be copied after that, and goes on."""

    class Stop(Callback):
        def on_grad_computed(self, net, **kwargs):
            raise KeyboardInterrupt

    source = JointGAN()
    net, x = make_net(source, callbacks=[Stop()])
    train(net, x, torch.arange(40) % 4, None, epochs=5)
    assert len(net.history) == 1
    train(net.copy(), x, torch.arange(40) % 4, None, epochs=1)


class Predicting(Callback):
    """Predict the training data at every chance, and compare with the module."""

    def on_batch_end(self, net, batch, **kwargs):
        net.predict_proba(batch[0].numpy())

    def on_epoch_end(self, net, dataset_train, **kwargs):
        x, _ = dataset_train.tensors
        assert torch.equal(net.forward(dataset_train), net.forward(x))
        torch.testing.assert_close(net.forward(x), net.module_.eval()(x))


class Dropping(torch.nn.Sequential):
    """A classifier that draws random numbers in training."""

    def __init__(self):
        super().__init__(torch.nn.Dropout(), torch.nn.Linear(3, 4))


def test_predicting_in_a_callback_changes_nothing():
    """Check order, and that the fit has the random numbers and mode it had without."""
    weights = []
    for callbacks in (None, [Predicting()]):
        net, x = make_net(None, module=Dropping, callbacks=callbacks)
        valid = x[:10], torch.arange(10) % 4
        train(net, x, torch.arange(40) % 4, None, epochs=3, valid=valid, patience=3)
        weights.append(net.module_[1].weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_skorchs_own_methods_give_logits(dtype):
    """Check `predict_proba` and `forward` of a fitted net, on pixels of both kinds."""
    x = np.random.default_rng(0).integers(256, size=(70, 1, 8, 8)).astype(dtype)
    clf = ConfidentClassifier(max_epochs=1, batch_size=32, ood_source=None)
    clf.fit(x, np.arange(70) % 3)
    expected = clf.net_.logits(x)
    np.testing.assert_allclose(clf.net_.predict_proba(x), expected, atol=1e-4)
    np.testing.assert_allclose(clf.net_.forward(x), expected, atol=1e-4)
