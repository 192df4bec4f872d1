# SPDX-License-Identifier: BSD-3-Clause
"""Everything is on the device where it must be, and no batch waits for the GPU."""

import pickle

import numpy as np
import pytest
import torch

from confident_clf import ConfidentClassifier, OODDetector, load, save
from confident_clf.scores._make_score import SCORES

rng = np.random.default_rng(0)
Y = np.arange(60) % 3
ROWS = (rng.normal(size=(60, 4)) + 2 * Y[:, None]).astype(np.float32)
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
        *((source, "float32") for source in SOURCES),
        (SOURCES[-1], "bfloat16"),
        *(pytest.param(s, "bfloat16", marks=pytest.mark.slow) for s in SOURCES[:-1]),
    ],
    ids=str,
)
def test_fit_save_and_continue(source, X, precision, gpus, tmp_path, monkeypatch):
    """Check copies by pickle and file, between GPU and CPU, which go on training."""
    augment = "flip_crop" if X.ndim == 4 else None
    clf = make(source, precision=precision, augment=augment)
    clf.fit(X, Y, **extra(source, X))
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
        copy.partial_fit(X, Y, **extra(source, X))


@on_rows_and_images
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_no_batch_waits(source, X, gpus):
    """Check that twice as many batches make no more waits."""
    waits = []
    for n in (30, 60):
        gpus.waits.clear()
        make(source).fit(X[:n], Y[:n], **extra(source, X))
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


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("source", ["joint", "noise"])
def test_generators_are_left_alone(source, device, gpus):
    """Check that a fit changes no generator, of its own GPU or of another."""
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
