# SPDX-License-Identifier: BSD-3-Clause
"""Measure how well each regime tells known samples from unknown ones.

    python benchmarks/quality.py --data DIR

DIR holds the files that image_sets.py names. Every regime uses the library's defaults,
except for what its name says; nothing is chosen here. The results go to
docs/results/quality.json and quality.md after every fit. Regimes that are there already
run again and replace the old figures.
"""

import argparse
import time
import warnings
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import torch
from _report import RESULTS, made_with, mean_and_spread, read, table, versions, write
from _tasks import EPOCHS, TASKS
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf.metrics import expected_calibration_error, ood_report


class BatchNormNet(nn.Sequential):
    """The default network for 32x32 images with BatchNorm, as a user might write it."""

    def __init__(self, input_shape, n_classes):
        layers = []
        for n_in, n_out in pairwise((input_shape[0], 32, 64, 128)):
            for channels in (n_in, n_out):
                conv = nn.Conv2d(channels, n_out, 3, padding=1, bias=False)
                layers += [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        head = [nn.Dropout(0.25), nn.Linear(128 * 16, 128), nn.ReLU(), nn.Dropout(0.25)]
        super().__init__(*layers, nn.Flatten(), *head, nn.Linear(128, n_classes))


# Parameters that differ from the defaults, by regime; then the regimes of each task.
PAPER = {
    "cross entropy": {"ood_source": None},
    "joint": {},
    "original GAN": {"ood_source": "gan"},
    "explicit": {"ood_source": "explicit"},
}
BEYOND = {
    "noise": {"ood_source": "noise"},
    "joint + noise": {"ood_source": ["joint", "noise"]},
    "features": {"ood_source": "features"},
}
AT_BETA_1 = {
    "joint, beta=1": {"beta": 1.0},
    "noise, beta=1": {"ood_source": "noise", "beta": 1.0},
}
REGIMES = {
    "digits": PAPER | BEYOND | AT_BETA_1,
    "fashion": PAPER | BEYOND | AT_BETA_1,
    "cifar": PAPER
    | BEYOND
    | {
        "joint + noise, beta=0.3": {"ood_source": ["joint", "noise"], "beta": 0.3},
        "cross entropy, BatchNorm": {"ood_source": None, "module": BatchNormNet},
        "noise, BatchNorm": {"ood_source": "noise", "module": BatchNormNet},
    },
}
TITLES = {
    "digits": "scikit-learn's digits: 0-4 known (60 % train, 40 % test), 5-9 unknown "
    '("explicit" trains on 60 % of them; all are tested on the other 40 %)',
    "fashion": "Fashion-MNIST known (first 10,000 training images, 10 epochs, all test "
    'images), MNIST test images unknown ("explicit" trains on MNIST training images)',
    "cifar": "CIFAR-10 known (first 20,000 training images, 10 epochs, all test "
    'images), street-view characters unknown ("explicit" trains on Tiny ImageNet). '
    '"BatchNorm": the default network with BatchNorm for its normalisation. All three '
    "sets are JPEG files of quality 90",
}
COLUMNS = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "tnr_at_tpr": "TNR at 95 % TPR",
    "detection_accuracy": "detection accuracy",
    "aupr_in": "AUPR in",
    "aupr_out": "AUPR out",
    "ece": "ECE",
    "seconds": "fit, s",
}
DIGITS = {"accuracy": 4, "seconds": 0}  # after the point; 3 for the other columns


def run(task, regime, seed, data):
    """Fit once; return the figures."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*has BatchNorm")
    params = REGIMES[task][regime]
    X, y, X_test, y_test, seen, unseen = TASKS[task](data, seed)
    params = {"ood_source": "joint", "method": "msp", **params}
    clf = ConfidentClassifier(**params, max_epochs=EPOCHS[task], random_state=seed)
    start = time.perf_counter()
    clf.fit(X, y, X_ood=seen if params.get("ood_source") == "explicit" else None)
    seconds = time.perf_counter() - start
    report = ood_report(clf.score_samples(X_test), clf.score_samples(unseen))
    # This one is nan, as minus `msp` is not a probability; the classifier's is below.
    del report["expected_calibration_error"]
    labels = np.searchsorted(clf.classes_, y_test)
    ece = expected_calibration_error(labels, clf.predict_proba(X_test))
    return {
        "task": task,
        "regime": regime,
        "seed": seed,
        **versions(),
        "accuracy": clf.score(X_test, y_test),
        "ece": ece,
        "seconds": seconds,
        **report,
        "last_epoch": {k: float(v) for k, v in clf.history_[-1].items() if "_" in k},
    }


def to_markdown(results):
    """Return the report: a table for each task, over all seeds."""
    lines = [
        "# Quality",
        "",
        "Written by `python benchmarks/quality.py --data DIR`; see its first lines for",
        "DIR. Score: maximum class probability (`msp`). Mean ± standard deviation over",
        f"seeds. Made with {made_with(results)}.",
    ]
    for task, regimes in REGIMES.items():
        rows = [r for r in results if r["task"] == task]
        if not rows:
            continue
        n = f"{rows[0]['n_in']} known and {rows[0]['n_out']} unknown test samples"
        lines += ["", f"## {task}", "", f"{TITLES[task]}; {n}.", ""]
        cells = []
        for regime in regimes:
            runs = [r for r in rows if r["regime"] == regime]
            if runs:
                seeds = " ".join(str(r["seed"]) for r in runs)
                figures = [
                    mean_and_spread([r[name] for r in runs], DIGITS.get(name, 3))
                    for name in COLUMNS
                ]
                cells.append([regime, seeds, *figures])
        lines += table(["regime", "seeds", *COLUMNS.values()], cells)
    return "\n".join(lines) + "\n"


def key(result):
    """Return what identifies a result."""
    return result["task"], result["regime"], result["seed"]


def main():
    """Run the regimes asked for; write JSON and Markdown after every fit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument("--tasks", nargs="+", default=list(REGIMES), choices=REGIMES)
    parser.add_argument("--regimes", nargs="+", help="default: all of the tasks")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    todo = [
        (task, regime, seed)
        for seed in args.seeds
        for task in args.tasks
        for regime in REGIMES[task]
        if not args.regimes or regime in args.regimes
    ]
    results = read(args.out, "quality")
    fits = (joblib.delayed(run)(*which, args.data) for which in todo)
    parallel = joblib.Parallel(args.jobs, return_as="generator_unordered")
    for result in parallel(fits):
        results = [r for r in results if key(r) != key(result)] + [result]
        results.sort(key=key)
        write(args.out, "quality", results, to_markdown(results))
        print(
            *(f"{result[k]}" for k in ("task", "regime", "seed", "auroc")), flush=True
        )
    print((args.out / "quality.md").read_text())


if __name__ == "__main__":
    main()
