# SPDX-License-Identifier: BSD-3-Clause
"""Everything is on the device where it must be, and no batch waits for the GPU."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring, GradientNormClipping
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector, load, save
from confident_clf._training import _batches
from confident_clf.scores._make_score import SCORES
from confident_clf.utils._compute import MIN_FLOP_OF_BFLOAT16, use_bfloat16

rng = np.random.default_rng(0)
Y = np.arange(60) % 3
# Not fewer columns: the fewer there are, the larger is a batch to predict.
ROWS = (rng.normal(size=(60, 64)) + 2 * Y[:, None]).astype(np.float32)
IMAGES = rng.integers(0, 256, (60, 1, 8, 8)).astype(np.uint8)
SOURCES = [
    None,
    "joint",
    "gan",
    "explicit",
    "noise",
    "features",
    ["joint", "noise", "features"],
]
SLOW_ALONE = ("joint", "features")  # for the mixture has them too
QUICK_SOURCES = [
    pytest.param(source, marks=pytest.mark.slow) if source in SLOW_ALONE else source
    for source in SOURCES
]
on_rows_and_images = pytest.mark.parametrize(
    "X", [ROWS, IMAGES], ids=["rows", "images"]
)
# A dozen steps on 60 samples: no generator gets far, and none is meant to.
pytestmark = pytest.mark.filterwarnings("ignore:The GAN did not converge")


def make(source, device="cuda", **params):
    """Return a classifier that trains briefly."""
    defaults = {"max_epochs": 2, "random_state": 0, "batch_size": 10, "method": "msp"}
    return ConfidentClassifier(ood_source=source, device=device, **defaults | params)


def extra(source, X):
    """Return the OOD rows that a source needs."""
    return {"X_ood": X[::-1].copy()} if source == "explicit" else {}


@on_rows_and_images
@pytest.mark.parametrize(
    ("source", "precision"),
    [
        *((source, "float32") for source in SOURCES if source not in SLOW_ALONE),
        (SOURCES[-1], "bfloat16"),
        *(pytest.param(s, "float32", marks=pytest.mark.slow) for s in SLOW_ALONE),
        *(pytest.param(s, "bfloat16", marks=pytest.mark.slow) for s in SOURCES[:-1]),
    ],
    ids=str,
)
def test_fit_save_and_continue(source, X, precision, gpus, tmp_path, monkeypatch):
    """Check copies by pickle and file, between GPU and CPU, which go on training."""
    augment = "flip_crop" if X.ndim == 4 else None
    params = {"precision": precision, "augment": augment, "inference": "fast"}
    clf = make(source, **params).fit(X, Y, **extra(source, X))
    assert all(
        p.device == torch.device("cuda:0") for p in clf.net_.module_.parameters()
    )
    expected = clf.predict_proba(X)
    save(clf, tmp_path / "gpu")
    data = pickle.dumps(clf)
    copies = [pickle.loads(data), load(tmp_path / "gpu")]
    on_cpu = [load(tmp_path / "gpu", device="cpu")]
    with monkeypatch.context() as without:
        without.setattr(gpus, "there", False)
        with pytest.warns(
            UserWarning, match="cuda:0, which is not there: it goes to cpu"
        ):
            on_cpu.append(pickle.loads(data))
        assert {p.device.type for p in on_cpu[1].net_.module_.parameters()} == {"cpu"}
    save(on_cpu[0], tmp_path / "cpu")
    for copy in [*copies, *on_cpu, load(tmp_path / "cpu", device="cuda")]:
        np.testing.assert_allclose(copy.predict_proba(X), expected, atol=1e-5)
        if source is not None:
            assert np.isfinite(copy.sample_ood(2)).all()
            for part in copy.net_.source_.parts().values():
                learned = [v for name, v in vars(part).items() if name.endswith("_")]
                tensors = filter(torch.is_tensor, learned)
                places = {part.device, *(tensor.device for tensor in tensors)}
                assert places == {torch.device(copy.net_.device)}
        copy.partial_fit(X[:20], Y[:20], **extra(source, X))


@on_rows_and_images
@pytest.mark.parametrize("source", QUICK_SOURCES, ids=str)
def test_no_batch_waits(source, X, gpus):
    """Check that twice as many batches make no more waits."""
    augment, waits = ("flip_crop" if X.ndim == 4 else None), []
    for n in (20, 40):
        gpus.waits.clear()
        make(source, augment=augment).fit(X[:n], Y[:n], **extra(source, X))
        waits.append(gpus.waits.total())
    assert waits[0] == waits[1]


@pytest.mark.parametrize("source", [*SOURCES[-1:], "explicit"], ids=str)
def test_an_epoch_uploads_its_order_alone(source, gpus):
    """Check that the data and what a source learned are copied to a GPU once."""
    uploaded = []
    for n_epochs in (2, 3):
        gpus.uploaded = 0
        make(source, max_epochs=n_epochs).fit(ROWS, Y, **extra(source, ROWS))
        uploaded.append(gpus.uploaded)
    assert uploaded[0] > ROWS.nbytes
    assert uploaded[1] - uploaded[0] == len(ROWS) * torch.int64.itemsize


def test_no_batch_waits_for_weights_or_validation(gpus, monkeypatch):
    """Check the same with weights, held-out samples, a warm-up and more noise."""
    params = {"class_weight": {0: 2.0}, "early_stopping": True, "head_epochs": 1}
    params |= {"batch_size": 2}  # the noise of 16 batches is drawn at once
    monkeypatch.setattr(_batches, "CHUNK_BYTES", 1)  # or they would make one chunk
    waits = []
    for n in (20, 60):
        gpus.waits.clear()
        given = {"X_val": ROWS[:n], "y_val": Y[:n], "sample_weight": 1.0 + Y[:n]}
        make("noise", **params).fit(ROWS[:n], Y[:n], **given)
        waits.append(gpus.waits.total())
    assert waits[0] == waits[1]


@on_rows_and_images
def test_scores(X, gpus, tmp_path):
    """Check that every score is that of the same network on the CPU."""
    clf = make("noise").fit(X, Y)
    save(clf, tmp_path / "it")
    on_cpu = load(tmp_path / "it", device="cpu")
    for method in sorted(SCORES):
        scores = [
            copy.set_params(method=method).fit_method(X, Y).ood_score(X)
            for copy in (clf, on_cpu)
        ]
        np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5, err_msg=method)
    detector = OODDetector(clf, target_tpr=0.8, random_state=0).fit(X, Y)
    assert set(detector.predict(X)) <= {-1, 1}


class Flat(nn.Module):
    """A network of one layer that keeps how it was called: sizes, and precision."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(input_shape)), n_classes)
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        logits = self.layer(x.flatten(1))
        if self.training:
            self.dtype = logits.dtype
        return logits


class Multiplies(Callback):
    """Multiply weights, and keep the precision of the product."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        weight = dict(named_parameters)["layer.weight"]
        self.dtype = nn.functional.linear(weight, weight).dtype


def test_as_on_the_cpu(gpus):
    """Check weights, held-out samples and callbacks against the same fit on the CPU."""
    params = {
        "module": Flat,
        "early_stopping": True,
        "class_weight": "balanced",
        "callbacks": [
            ("clip", GradientNormClipping(0.1)),
            ("score", EpochScoring("accuracy")),
            ("multiply", Multiplies()),
        ],
        "precision": "bfloat16",
    }
    fits = [
        make(None, device, **params).fit(ROWS, Y, sample_weight=1.0 + Y)
        for device in ("cpu", "cuda")
    ]
    on_cpu, on_gpu = (
        [[row[k] for k in ("classifier_loss", "valid_loss", "accuracy")] for row in h]
        for h in (fit.net_.history for fit in fits)
    )
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-2)
    for fit in fits:
        assert fit.net_.module_.dtype == torch.bfloat16
        callbacks = dict(fit.net_.callbacks_)
        assert callbacks["multiply"].dtype == torch.float32  # not within autocast


@pytest.mark.parametrize(("capability", "short"), [((7, 5), False), ((8, 0), True)])
def test_automatic_precision(capability, short, gpus, monkeypatch):
    """Check that a large network computes in bfloat16 where the GPU multiplies it."""
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device=None: capability
    )
    device = torch.device("cuda:0")
    assert use_bfloat16("auto", device, MIN_FLOP_OF_BFLOAT16) == short
    assert not use_bfloat16("auto", device, MIN_FLOP_OF_BFLOAT16 - 1)


@on_rows_and_images
def test_a_network_trained_elsewhere(X, gpus):
    """Check scores of a network that is on the CPU, and stays there."""
    network = Flat(X.shape[1:], 3)
    scores = []
    for device in ("cpu", "cuda"):
        params = {"device": device, "method": ["knn", "odin"], "random_state": 0}
        clf = ConfidentClassifier.from_trained(network, classes=range(3), **params)
        scores.append(clf.fit_method(X, Y).ood_score(X))
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5)
    assert clf.net_.module_.layer.weight.is_cuda
    assert network.layer.weight.is_cpu


def test_batches_of_predict(gpus):
    """Check their sizes, that a trial takes few, and that one image gets its bits."""
    X = rng.integers(0, 256, (520, 3, 32, 32)).astype(np.uint8)
    clf = make(None, module=Flat, max_epochs=1).fit(X[:20], Y[:20])
    seen = clf.net_.module_.seen
    seen.clear()
    expected = clf.decision_function(X)
    assert seen == [512, 512]
    for n in (1, 3, 40):
        seen.clear()
        np.testing.assert_array_equal(clf.decision_function(X[-n:]), expected[-n:])
        assert len(seen) <= 8  # with a trial: 512, and 2, 4 and 32 at most twice


def test_both_ways_to_allow_tf32(gpus):
    """Check that predict looks for sizes again when one of the settings changes."""
    clf = make(None, module=Flat, max_epochs=1).fit(ROWS, Y)
    seen, matmul = clf.net_.module_.seen, torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        for name, value in (
            ("allow_tf32", True),  # torch refuses to read this one after the other
            ("fp32_precision", "ieee"),
        ):
            setattr(matmul, name, value)
            seen.clear()
            assert np.isfinite(clf.predict_proba(ROWS)).all()
            assert len(seen) > 2
    finally:
        matmul.fp32_precision = before


def test_the_second_gpu(gpus):
    """Check a fit on cuda:1, while cuda:0 is the current one."""
    clf = make(["joint", "noise"], "cuda:1").fit(ROWS, Y)
    parts = [clf.net_.module_, clf.net_.source_]
    places = {p.device for part in parts for p in part.parameters()}
    assert places == {torch.device("cuda:1")}
    assert np.isfinite(clf.sample_ood(3)).all()


def test_the_current_gpu_changes(gpus):
    """Check that a classifier of "cuda" stays where it was trained."""
    clf = make("noise").fit(ROWS, Y)
    before = clf.predict_proba(ROWS)
    torch.cuda.set_device(1)
    np.testing.assert_array_equal(clf.predict_proba(ROWS), before)
    clf.partial_fit(ROWS, Y)


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
@pytest.mark.parametrize("source", ["joint", "noise"])
def test_generators_are_left_alone(source, device, gpus):
    """Check that a fit changes no generator, of its own GPU or of the current one."""
    before = [state.clone() for state in gpus.random]
    make(source, device).fit(ROWS, Y).sample_ood(2)
    assert all(map(torch.equal, before, gpus.random))


@pytest.mark.parametrize("source", [None, "noise", "explicit", "joint"], ids=str)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_default_device(source, device, gpus):
    """Check that a default device of torch has no effect."""
    with torch.device("cuda"):
        clf = make(source, device).fit(ROWS, Y, **extra(source, ROWS))
        clf.predict(ROWS)
    assert clf.net_.module_ is not None
