# SPDX-License-Identifier: BSD-3-Clause
"""Test the comparison of the paper from end to end, on a few random images."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier
from confident_clf.metrics import auroc

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import figure1
import image_sets
from figure1_report import to_markdown

GREY = ["fashion_mnist_train", "fashion_mnist_test", "mnist_train", "mnist_test"]
COLOUR = [
    "cifar10_train",
    "cifar10_test",
    "streetview_chars",
    "tinyimagenet_val",
    "intel_scenes_test",
]
N = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder of random images in the format of the real sets."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 10
    for name in GREY:
        images = rng.integers(0, 256, (N, 28, 28), np.uint8)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    for name in COLOUR:
        files = []
        for colour in rng.integers(0, 256, (N, 3)):
            file = io.BytesIO()
            Image.new("RGB", (32, 32), tuple(map(int, colour))).save(file, "JPEG")
            files.append(file.getvalue())
        np.savez(
            folder / f"{name}.npz",
            jpeg=np.frombuffer(b"".join(files), np.uint8),
            offsets=np.cumsum([0, *map(len, files)]),
            labels=labels,
        )
    return folder


def test_paper_preset(data, tmp_path, capsys):
    """Check that the paper's recipe runs only once, and that the tables match it."""
    arguments = ["--data", str(data), "--preset", "paper", "--images", "4"]
    arguments += ["--epochs", "1", "--jobs", "1", "--seeds", "0", "--device", "cpu"]
    arguments += ["--out", str(tmp_path)]
    figure1.main(arguments)
    results = json.loads((tmp_path / "figure1.json").read_text())
    assert [r["regime"] for r in results] == figure1.REPORTED
    for result in results:
        assert list(result["reports"]) == figure1.METHODS
        for by_set in result["reports"].values():
            assert len(by_set) == 5
            assert all(0 <= report["auroc"] <= 1 for report in by_set.values())
            assert {report["n_out"] for report in by_set.values()} == {4}
    assert (tmp_path / "figure1.png").read_bytes().startswith(b"\x89PNG")
    assert len(capsys.readouterr().out.splitlines()) == len(results)
    text = (tmp_path / "figure1.md").read_text()
    assert text == to_markdown(results)
    assert f"{results[0]['reports']['msp']['scenes']['auroc']:.3f}" in text
    figure1.main(arguments)
    assert capsys.readouterr().out == ""


def test_choose(data, tmp_path):
    """Check that training leaves out the held-out classes, and the table of choice."""
    arguments = ["--data", str(data), "--choose", "--tasks", "fashion", "--jobs", "1"]
    arguments += ["--epochs", "1", "--regimes", "cross entropy", "noise"]
    figure1.main([*arguments, "--out", str(tmp_path)])
    results = json.loads((tmp_path / "figure1.json").read_text())
    assert len(results) == 2 * figure1.N_SPLITS
    means = {
        (regime, method): np.mean(
            [
                [report["auroc"] for report in r["reports"][method].values()]
                for r in results
                if r["regime"] == regime
            ]
        )
        for regime in ("cross entropy", "noise")
        for method in figure1.METHODS
    }
    rows = (tmp_path / "figure1.md").read_text().splitlines()
    cells = {row.split(" | ")[0][2:]: row.split(" | ") for row in rows}
    assert cells["knn"][1] == f"{means['cross entropy', 'knn']:.3f}"
    assert cells["knn"][2] == f"{means['noise', 'knn']:.3f} |"
    X, y = image_sets.load(data, "fashion_mnist_train")
    X_train, y_train, _, y_known, sets = figure1.stand_ins(X, y, N, 0, 1)
    assert set(y_known) == set(y_train) and len(set(y_train)) == 8
    held_out = {image.tobytes() for image in sets["held-out classes"]}
    assert held_out == {x.tobytes() for x in X[~np.isin(y, y_train)]}
    assert not held_out & {image.tobytes() for image in X_train}


def test_distorted_images():
    """Check that blending mixes two classes, and the other three distortions."""
    y = np.array([2, 0, 1, 0, 2, 1])
    X = np.left_shift(2, y).astype(np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 8, 8), np.uint8
    )
    X[:, :, 0] = 0
    sets = figure1.distorted(X, y)
    # A blend of two classes is the sum of two powers of two; of one class, a power.
    blends = sets["blended"][:, 0, -1, -1]
    assert set(blends) <= {3, 5, 6} and all(np.bitwise_and(blends, 1 << y))
    assert (sets["rotated"][:, :, :, 0] == 0).all() and sets["rotated"][
        :, :, 0, 1:
    ].all()
    assert_array_equal(sets["negative"].astype(int) + X, 255)
    assert_array_equal(np.sort(sets["permuted"], axis=0), np.sort(X, axis=0))


def test_explicit_is_tested_on_other_images(data):
    """Check that explicit is not tested on images that it trains on."""
    for task in ("fashion", "cifar"):
        seen, sets = figure1.unknown_sets(data, task, N)
        seen = {image.tobytes() for image in seen}
        for images in sets.values():
            assert not seen & {image.tobytes() for image in images}


def test_other_sets(data, tmp_path):
    """Check the sets for --others, and the table of the scores on them."""
    for task, shape in (("fashion", (1, 28, 28)), ("cifar", (3, 32, 32))):
        sets = figure1.other_sets(data, task, N)
        assert all(images.shape == (N, *shape) for images in sets.values())
        assert all(images.dtype == np.uint8 for images in sets.values())
        assert not sets.keys() & figure1.unknown_sets(data, task, N)[1].keys()
    # Each pixel of scikit-learn's, from 0 to 16, becomes nine, within a black border.
    zero = figure1.other_sets(data, "fashion", N)["digits"][0, 0]
    expected = np.kron(load_digits().images[0] * 255 / 16, np.ones((3, 3))) // 1
    assert_array_equal(zero[2:26, 2:26], expected)
    assert zero.sum() == expected.sum()
    arguments = ["--data", str(data), "--others", "--tasks", "fashion", "--jobs", "1"]
    arguments += ["--epochs", "1", "--regimes", "cross entropy", "--seeds", "3"]
    figure1.main([*arguments, "--out", str(tmp_path)])
    (result,) = json.loads((tmp_path / "figure1.json").read_text())
    aurocs = [report["auroc"] for report in result["reports"]["gen"].values()]
    cells = " | ".join(f"{value:.3f}" for value in [*aurocs, np.mean(aurocs)])
    text = (tmp_path / "figure1.md").read_text()
    assert f"| cross entropy | gen | {cells} |" in text


def test_scores_are_the_classifier_s():
    """Check that computing features only once does not change a score."""
    X = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), np.uint8)
    y = np.repeat(list("abc"), 20)
    clf = ConfidentClassifier(ood_source="noise", max_epochs=2, random_state=0)
    scores = figure1.scores_by_method(clf.fit(X, y), X, y, {"known": X, "other": X[:9]})
    for method in figure1.METHODS:
        clf.set_params(method=method).fit_method(X, y)
        assert_array_equal(scores[method]["known"], clf.score_samples(X))
        assert_array_equal(scores[method]["other"], clf.score_samples(X[:9]))


def test_reports():
    """Check the AUROC in the reports against the AUROC of the confidences."""
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(1, 1, 50), rng.normal(0, 1, 30)
    reports = figure1.reports_by_method({"msp": {"known": known, "noise": unknown}})
    expected = auroc(np.repeat([1, 0], [50, 30]), np.concatenate([known, unknown]))
    assert_allclose(reports["msp"]["noise"]["auroc"], expected, atol=1e-5)


def test_grey():
    """Check the grey images against Pillow."""
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    expected = [
        np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))[2:30, 2:30]
        for image in images
    ]
    assert_array_equal(image_sets.grey(images)[:, 0], expected)
