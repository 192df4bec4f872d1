# SPDX-License-Identifier: BSD-3-Clause
"""Measure the paper's figure 1: training losses and scores on pairs of data sets.

    python benchmarks/figure1.py --data DIR --preset small --choose
    python benchmarks/figure1.py --data DIR --preset small
    python benchmarks/figure1.py --data DIR --preset paper-small --checkpoints FOLDER
    python benchmarks/figure1.py --data DIR --preset paper --device cuda

DIR holds the files that image_sets.py names. The preset "small" uses the library's
defaults and 10 epochs, which suits two CPU cores. "paper" is the paper's recipe
(confident_clf.recipes: VGG13 and DCGAN, 100 epochs) at full size. "paper-small" is the
same with 20,000 images of CIFAR-10 and 30 epochs. Both have street-view characters as
a known set too, in place of SVHN, with the recipe of SVHN. With ``--checkpoints`` a
call that was interrupted continues when it is made again.

The bars are cross entropy and the confidence loss with explicit OOD samples,
with samples of the original GAN, and with samples of the joint GAN. Further bars,
beyond the paper, are for other sources that need no OOD data. "joint, entropy" is eq.
(2) with its last term, which is off in all others: see docs/paper.rst. Every network is
scored by every method.

``--choose`` finds the best source, and the best combination of source and method,
without the sets reported. Stand-ins replace them: held-out classes of the training
images, and known images turned, inverted, blended or with permuted pixels. No source
trains on these. The criterion is the mean AUROC over the stand-ins.

``--others`` scores the chosen combination and cross entropy on sets that had no part in
the design of the stand-ins. One of them, CIFAR-10 in grey, had served in defaults.py.

Results go to docs/results/figure1.json and figure1.md after every fit, with the paper's
four bars in figure1.png and all in figure1_all.png. Fits that are there already do not
run again.
"""

import argparse
import shutil
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from _report import RESULTS, read, versions, write
from figure1_report import draw, to_markdown
from image_sets import characters, digits, grey, load, padded, photographs

from confident_clf import ConfidentClassifier, recipes
from confident_clf._detection._synthetic import synthetic_ood
from confident_clf.metrics import (
    expected_calibration_error,
    legacy_grid,
    ood_report,
)
from confident_clf.model_selection import LeaveClassesOut
from confident_clf.scores._make_score import make_score
from confident_clf.scores._once import ComputedOnce

METHODS = [
    "msp",
    "odin",
    "energy",
    "max_logit",
    "entropy",
    "margin",
    "gen",
    "react",
    "knn",
    "mahalanobis",
    "rmd",
    "vim",
]
PAPER = {
    "cross entropy": {"ood_source": None},
    "explicit": {"ood_source": "explicit"},
    "original GAN": {"ood_source": "gan"},
    "joint": {"ood_source": "joint"},
}
WITH_ENTROPY = {"joint, entropy": {"ood_source": "joint", "entropy_weight": 1.0}}
BEYOND = {
    "noise": {"ood_source": "noise"},
    "joint + noise": {"ood_source": ["joint", "noise"]},
    "features": {"ood_source": "features"},
    "noise, beta=1": {"ood_source": "noise", "beta": 1.0},
    "joint + noise, beta=1": {"ood_source": ["joint", "noise"], "beta": 1.0},
}
REGIMES = PAPER | WITH_ENTROPY | BEYOND
TO_CHOOSE = ["cross entropy", "joint", *BEYOND]
# The paper's regimes, noise, noise with the GAN's samples, and the choice of --choose.
REPORTED = [*PAPER, "noise", "joint + noise", "joint + noise, beta=1"]
RECIPES = {"cifar": recipes.cifar10, "characters": recipes.svhn}


def small(task, regime):
    """Return the parameters of the preset "small": default networks, 10 epochs."""
    return {"max_epochs": 10, "method": "msp", **REGIMES[regime]}


def paper(task, regime, **changes):
    """Return the parameters of the paper's recipe, with changes."""
    own = REGIMES[regime]
    return {**RECIPES[task](own["ood_source"]), **own, **changes}


# Where "n_train" is None, all images train.
PRESETS = {
    "small": {
        "params": small,
        "n_train": {"fashion": 10_000, "cifar": 20_000},
        "regimes": REPORTED,
        "seeds": [0, 1, 2],
        "n_choose": 5_000,
        "n_known": 5_000,
        "n_unknown": 2_000,
    },
    "paper-small": {
        "params": partial(paper, max_epochs=30),
        "n_train": {"cifar": 20_000, "characters": None},
        "regimes": list(PAPER),
        "seeds": [0, 1],
        "n_choose": 20_000,
        "n_known": 5_000,
        "n_unknown": 2_000,
    },
    "paper": {
        "params": paper,
        "n_train": {"cifar": 50_000, "characters": None},
        "regimes": REPORTED,
        "seeds": [0, 1, 2],
        "n_choose": 50_000,
        "n_known": 10_000,
        "n_unknown": 10_000,
    },
}
KEYS = ["preset", "task", "regime", "seed", "split"]
TASKS = ["fashion", "cifar", "characters"]
N_SPLITS, N_HELD_OUT = 3, 2
# The regime that --choose chose, and the value of `split` for --others.
CHOSEN, OTHERS = "joint + noise, beta=1", "others"


def noise_sets(shape):
    """Return Gaussian and uniform noise, uint8, as in the paper's experiments."""
    rng = np.random.default_rng(0)
    gaussian = rng.normal(0.5, 1, shape).clip(0, 1) * 255
    return {
        "Gaussian noise": gaussian.astype(np.uint8),
        "uniform noise": rng.integers(0, 256, shape, np.uint8),
    }


def known_images(data, task, n_train=None, n_test=None):
    """Return images and labels to train on, then images and labels to test on."""
    if task == "characters":
        return characters(data, n_train, n_test)
    name = {"fashion": "fashion_mnist", "cifar": "cifar10"}[task]
    return *load(data, f"{name}_train", n_train), *load(data, f"{name}_test", n_test)


def unknown_sets(data, task, n):
    """Return OOD images to train on, and test sets of at most n images by name."""
    sets = {
        "Tiny ImageNet": load(data, "tinyimagenet_val", n)[0],
        "scenes": load(data, "intel_scenes_test", n)[0],
    }
    if task == "characters":
        seen = load(data, "cifar10_train", 10_000)[0]
        sets = {"CIFAR-10": load(data, "cifar10_test", n)[0]} | sets
    else:
        images, _ = load(data, "streetview_chars")
        seen, unseen = images[: len(images) // 2], images[len(images) // 2 :]
        sets = {"street-view characters": unseen} | sets
    if task == "fashion":
        seen = load(data, "mnist_train", 10_000)[0]
        mnist, _ = load(data, "mnist_test", n)
        sets = {"MNIST": mnist} | {name: grey(of) for name, of in sets.items()}
    sets |= noise_sets((n, *seen.shape[1:]))
    return seen, {name: images[:n] for name, images in sets.items()}


def other_sets(data, task, n):
    """Return the sets for --others by name, of at most n images each."""
    if task == "fashion":
        sets = {
            "CIFAR-10": grey(load(data, "cifar10_test", n)[0]),
            "digits": padded(digits(3), 28),
            "photographs": grey(photographs()),
        }
    else:
        names = {"Fashion-MNIST": "fashion_mnist_test", "MNIST": "mnist_test"}
        sets = {
            name: padded(load(data, file, n)[0], 32).repeat(3, axis=1)
            for name, file in names.items()
        }
        sets["digits"] = digits(4).repeat(3, axis=1)
        sets["photographs"] = photographs()
    return {name: images[:n] for name, images in sets.items()}


def scores_by_method(clf, X, y, sets):
    """Return the confidences of every set by every method, all from one network."""
    view = clf._view(clf.net_)
    once = {name: ComputedOnce(view, Z, True) for name, Z in sets.items()}
    training = ComputedOnce(view, X, True)
    labels, scores = np.searchsorted(clf.classes_, y), {}
    for method in METHODS:
        score = make_score(method).fit(training, X, labels)
        of = {name: -score.ood_score(once[name], Z) for name, Z in sets.items()}
        scores[method] = of
    return scores


def reports_by_method(scores):
    """Return all metrics of every unknown set against the known one, by method."""
    reports = {}
    for method, by_set in scores.items():
        known = by_set.pop("known")
        of_sets = {name: ood_report(known, of) for name, of in by_set.items()}
        for report in of_sets.values():
            # Confidences are not probabilities; `run` records the classifier's ECE.
            del report["expected_calibration_error"]
        if method == "msp":
            # As published; see confident_clf.metrics.legacy_grid.
            for name, of in by_set.items():
                of_sets[name]["auroc_on_grid"] = legacy_grid(known, of)["auroc"]
        reports[method] = {
            name: {metric: round(value, 5) for metric, value in report.items()}
            for name, report in of_sets.items()
        }
    return reports


def distorted(X, y):
    """Return sets of unknown images by name, uint8, made from known ones."""
    order = np.argsort(y, kind="stable")
    partner = np.empty_like(order)
    # Sorted by class, the row half of all rows further on is from another class.
    partner[order] = np.roll(order, len(y) // 2)
    return {
        "rotated": np.rot90(X, axes=(2, 3)).copy(),
        "negative": 255 - X,
        "blended": X // 2 + X[partner] // 2,
        "permuted": synthetic_ood(X, "permuted"),
    }


def stand_ins(X, y, n, seed, split):
    """Split n images; return train X, y, test X, y and stand-ins for unknown sets.

    The stand-ins are the held-out classes, and distorted known images of the test part.
    """
    cv = LeaveClassesOut(N_HELD_OUT, n_splits=N_SPLITS, random_state=seed)
    train, test = list(cv.split(X[:n], y[:n]))[split]
    known = np.isin(y[test], y[train])
    X_known, y_known = X[test][known], y[test][known]
    sets = {"held-out classes": X[test][~known]} | distorted(X_known, y_known)
    return X[train], y[train], X_known, y_known, sets


def run(which, data, device, n_images=None, n_epochs=None, checkpoints=None):
    """Fit once, on all data or on a split to choose by; return the figures."""
    preset, task, regime, seed, split = which
    torch.set_num_threads(1)
    sizes = PRESETS[preset]
    n_train = n_images or sizes["n_train"][task]
    X, y, X_test, y_test = known_images(data, task, n_train, n_images)
    n_unknown = n_images or sizes["n_unknown"]
    X_ood = None
    if split == OTHERS:
        sets = other_sets(data, task, n_unknown)
    elif split is None:
        seen, sets = unknown_sets(data, task, n_unknown)
        X_ood = seen if regime == "explicit" else None
    else:
        n = sizes["n_choose"]
        X, y, X_test, y_test, sets = stand_ins(X, y, n, seed, split)
    has_class = np.isin(y_test, y)  # not all have, if only a few images train
    X_test, y_test = X_test[has_class], y_test[has_class]
    params = sizes["params"](task, regime)
    if n_epochs:
        params["max_epochs"] = n_epochs
    folder = checkpoints and folder_of(checkpoints, which)
    clf = ConfidentClassifier(
        **params, device=device, random_state=seed, checkpoint=folder
    )
    start = time.perf_counter()
    clf.fit(X, y, X_ood=X_ood)
    # A fit that continued knows the durations of all its epochs.
    seconds = max(time.perf_counter() - start, sum(clf.history_[:, "dur"]))
    labels = np.searchsorted(clf.classes_, y_test)
    known = {"known": X_test[: sizes["n_known"]]}
    return {
        **dict(zip(KEYS, which, strict=True)),
        **versions(),
        "device": str(clf.net_.device),
        "n_train": len(X),
        "epochs": clf.n_epochs_,
        "seconds": round(seconds),
        "accuracy": clf.score(X_test, y_test),
        "ece": expected_calibration_error(labels, clf.predict_proba(X_test)),
        "reports": reports_by_method(scores_by_method(clf, X, y, known | sets)),
    }


def folder_of(checkpoints, which):
    """Return the folder for the checkpoints of one fit."""
    return checkpoints / "_".join(map(str, which))


def key(result):
    """Return what identifies a result."""
    return tuple(result[name] for name in KEYS)


def todo(args):
    """Return the keys of the fits asked for."""
    sizes = PRESETS[args.preset]
    splits, names, seeds = [None], sizes["regimes"], args.seeds or sizes["seeds"]
    if args.choose:
        splits, names, seeds = range(N_SPLITS), TO_CHOOSE, [0]
    elif args.others:
        splits, names = [OTHERS], ["cross entropy", CHOSEN]
    return [
        (args.preset, task, regime, seed, split)
        for seed in seeds
        for task in args.tasks or sizes["n_train"]
        for regime in args.regimes or names
        for split in splits
    ]


def write_all(results, out):
    """Write the results, the report and the chart."""
    write(out, "figure1", results, to_markdown(results), one_a_line=True)
    draw(results, out)


def main(arguments=None):
    """Run the missing fits; write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--tasks", nargs="+", choices=TASKS)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES)
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    parser.add_argument(
        "--checkpoints", type=Path, help="folder to continue from after an interruption"
    )
    parser.add_argument("--images", type=int, help="of each set, to try it out")
    parser.add_argument("--epochs", type=int, help="to try it out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    there = PRESETS[args.preset]["n_train"]
    if not there.keys() >= set(args.tasks or []):
        parser.error(f"--preset {args.preset} has the tasks {', '.join(there)}")
    results = read(args.out, "figure1")
    done = {key(result) for result in results}
    options = args.data, args.device, args.images, args.epochs, args.checkpoints
    runs = (
        joblib.delayed(run)(which, *options)
        for which in todo(args)
        if which not in done
    )
    parallel = joblib.Parallel(args.jobs, return_as="generator_unordered")
    for result in parallel(runs):
        results.append(result)
        write_all(results, args.out)
        if args.checkpoints:
            shutil.rmtree(folder_of(args.checkpoints, key(result)))
        print(*key(result), f"{result['seconds']} s", flush=True)
    write_all(results, args.out)


if __name__ == "__main__":
    main()
