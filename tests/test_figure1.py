# SPDX-License-Identifier: BSD-3-Clause
"""Test the comparison of the paper from end to end, on a few random images."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier, recipes
from confident_clf._training._fit import Run
from confident_clf.metrics import auroc, legacy_grid

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


@pytest.mark.slow
def test_paper_preset(data, tmp_path, capsys):
    """Check that the paper's recipe runs only once, and that the tables match it."""
    arguments = ["--data", str(data), "--preset", "paper", "--images", "4"]
    arguments += ["--epochs", "1", "--jobs", "1", "--seeds", "0", "--device", "cpu"]
    regimes = ["original GAN", "joint + noise, beta=1"]
    arguments += ["--out", str(tmp_path), "--tasks", "cifar", "--regimes", *regimes]
    figure1.main(arguments)
    results = json.loads((tmp_path / "figure1.json").read_text())
    assert [r["regime"] for r in results] == regimes
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


@pytest.mark.parametrize(
    ("preset", "n_fits", "regimes"),
    [
        ("small", 2 * 7 * 3, figure1.REPORTED),
        ("paper", 2 * 7 * 3, figure1.REPORTED),
        ("paper-small", 2 * 4 * 2, list(figure1.PAPER)),
    ],
)
def test_what_a_preset_runs(preset, n_fits, regimes):
    """Check tasks, regimes and seeds, by default and as asked for."""
    args = SimpleNamespace(
        preset=preset, choose=False, others=False, seeds=None, tasks=None, regimes=None
    )
    fits = figure1.todo(args)
    assert len(fits) == len(set(fits)) == n_fits
    assert {task for _, task, *_ in fits} <= set(figure1.TASKS)
    assert {regime for _, _, regime, *_ in fits} == set(regimes)
    args.seeds, args.tasks, args.regimes = [7], ["cifar"], ["joint, entropy"]
    assert figure1.todo(args) == [(preset, "cifar", "joint, entropy", 7, None)]


@pytest.mark.slow
def test_paper_small(data, tmp_path, monkeypatch):
    """Check the fits asked for, and that an interrupted one continues."""
    arguments = ["--data", str(data), "--preset", "paper-small", "--images", "4"]
    arguments += ["--epochs", "3", "--jobs", "1", "--device", "cpu"]
    arguments += ["--out", str(tmp_path), "--checkpoints", str(tmp_path / "fits")]
    arguments += ["--tasks", "characters", "--regimes", "joint", "joint, entropy"]
    write_checkpoint = Run.write_checkpoint

    def killed(run, **kwargs):
        write_checkpoint(run, **kwargs)
        if len(run.net.history) == 2:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_checkpoint", killed)
        with pytest.raises(SystemExit):
            figure1.main([*arguments, "--seeds", "0"])
    (folder,) = (tmp_path / "fits").iterdir()
    assert any(folder.iterdir()) and not (tmp_path / "figure1.json").exists()
    n_epochs = []
    train_epoch = Run._train_epoch

    def counted(run):
        n_epochs.append(len(run.net.history))
        return train_epoch(run)

    monkeypatch.setattr(Run, "_train_epoch", counted)
    figure1.main([*arguments, "--seeds", "0"])
    assert n_epochs == [3, 1, 2, 3]
    assert list((tmp_path / "fits").iterdir()) == []
    results = json.loads((tmp_path / "figure1.json").read_text())
    assert [r["regime"] for r in results] == ["joint", "joint, entropy"]
    assert all(r["epochs"] == 3 and r["seconds"] > 0 for r in results)
    assert next(iter(results[0]["reports"]["msp"])) == "CIFAR-10"
    # The classes 0 to 3 train; of the characters that test, two are of these.
    assert results[0]["reports"]["msp"]["scenes"]["n_in"] == 2


@pytest.mark.parametrize("preset", ["paper", "paper-small"])
@pytest.mark.parametrize("regime", figure1.REGIMES)
def test_the_presets_are_the_recipes(preset, regime):
    """Check the paper's parameters, and what the regimes beyond it change."""
    n_epochs = {"paper": 100, "paper-small": 30}[preset]
    own = figure1.REGIMES[regime]
    of_tasks = {
        "cifar": (recipes.cifar10, 0.1, 64),
        "characters": (recipes.svhn, 1.0, 128),
    }
    assert figure1.PRESETS[preset]["n_train"].keys() == of_tasks.keys()
    for task, (recipe, beta, batch_size) in of_tasks.items():
        params = figure1.PRESETS[preset]["params"](task, regime)
        changes = {**own, "max_epochs": n_epochs}
        assert params == recipe(own["ood_source"]) | changes
        assert params["beta"] == own.get("beta", beta)
        assert params["entropy_weight"] == (regime == "joint, entropy")
        batch_size = 128 if regime == "cross entropy" else batch_size
        assert params["batch_size"] == batch_size
        ConfidentClassifier(**params)


def test_characters_train_or_test(data):
    """Check that every sixth character tests, and no image does both."""
    X, _ = image_sets.load(data, "streetview_chars")
    X_train, y_train, X_test, y_test = figure1.known_images(data, "characters")
    assert_array_equal(X_test, X[5::6])
    assert len(X_train) == len(y_train) == 50 and len(y_test) == 10
    assert_array_equal(X_train[:6], X[[0, 1, 2, 3, 4, 6]])


def test_a_task_of_another_preset_is_refused(data, capsys):
    """Check the message before anything is loaded or trained."""
    with pytest.raises(SystemExit):
        figure1.main(["--data", "nowhere", "--preset", "paper", "--tasks", "fashion"])
    assert "--preset paper has the tasks cifar, characters" in capsys.readouterr().err


def test_what_the_tables_say_of_files(data, tmp_path):
    """Check that JPEG stands beside each table of colour sets, grey or not."""
    arguments = ["--data", str(data), "--images", "20", "--epochs", "1", "--jobs", "1"]
    arguments += ["--regimes", "noise", "--seeds", "0", "--out", str(tmp_path)]
    figure1.main(arguments)
    text = (tmp_path / "figure1.md").read_text()
    grey, colour = text.split("## CIFAR-10 known")
    assert (
        grey.count("The unknown images are JPEG files of quality 90, made grey.") == 3
    )
    assert colour.count("Known and unknown images are JPEG files of quality 90.") == 3
    assert colour.count("JPEG files of quality 90, the unknown are not.") == 2
    for part in (grey, colour):
        assert "library's defaults, not the paper's" in part
        assert part.count("Tiny ImageNet, scenes) are JPEG files of quality 90;") == 3


@pytest.mark.slow
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
    for task in figure1.TASKS:
        seen, sets = figure1.unknown_sets(data, task, N)
        seen = {image.tobytes() for image in seen}
        for images in sets.values():
            assert not seen & {image.tobytes() for image in images}


@pytest.mark.slow
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
    on_grid = legacy_grid(known, unknown)["auroc"]
    assert_allclose(reports["msp"]["noise"]["auroc_on_grid"], on_grid, atol=1e-5)


def test_grey():
    """Check the grey images against Pillow."""
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    expected = [
        np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))[2:30, 2:30]
        for image in images
    ]
    assert_array_equal(image_sets.grey(images)[:, 0], expected)
