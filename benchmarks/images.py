# SPDX-License-Identifier: BSD-3-Clause
"""Measure the defaults on images: unknown sets, and images that are broken.

    python benchmarks/images.py --data DIR

DIR holds the files that image_sets.py names. The unknown sets are those of figure1.py.
The broken images are made from the known test images: black, white, one random colour,
negative, and one half of the image, at a random side, black, white or of a random
colour. Images that did not change are left out. The networks are the library's, and
train for 10 epochs.

"default" is ConfidentClassifier() with its score, and with "gen", which was the best
single score in figure1.md. The other training is cross entropy.

The results go to docs/results/images.json and images.md after every fit. Fits that are
there already do not run again.
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from _report import (
    RESULTS,
    auroc_of,
    made_with,
    mean_and_spread,
    read,
    table,
    versions,
    write,
)
from figure1 import known_images, unknown_sets

from confident_clf import ConfidentClassifier
from confident_clf.datasets import broken
from confident_clf.metrics import expected_calibration_error

TRAININGS = {"default": {}, "cross entropy": {"ood_source": None}}
SCORES = {
    "default": ["auto", "gen", "msp"],
    "cross entropy": ["auto", "gen", "msp", "energy"],
}
N_TRAIN = {"fashion": 10_000, "cifar": 20_000}
TITLES = {"fashion": "Fashion-MNIST known", "cifar": "CIFAR-10 known"}
N_KNOWN, N_UNKNOWN, EPOCHS = 5_000, 2_000, 10


def run(task, training, seed, data):
    """Fit once; return the AUROC by score and unknown set."""
    torch.set_num_threads(1)
    X, y, X_test, y_test = known_images(data, task, N_TRAIN[task])
    _, sets = unknown_sets(data, task, N_UNKNOWN)
    sets |= broken(X_test[:N_UNKNOWN], random_state=0).X_ood
    start = time.perf_counter()
    clf = ConfidentClassifier(
        **TRAININGS[training], max_epochs=EPOCHS, random_state=seed
    ).fit(X, y)
    seconds = time.perf_counter() - start
    scores = {}
    for method in SCORES[training]:
        known = clf.score_samples(X_test[:N_KNOWN], method)
        scores[method] = {
            name: auroc_of(known, clf.score_samples(images, method))
            for name, images in sets.items()
        }
    labels = np.searchsorted(clf.classes_, y_test)
    return {
        "task": task,
        "training": training,
        "seed": seed,
        **versions(),
        "accuracy": clf.score(X_test, y_test),
        "ece": expected_calibration_error(labels, clf.predict_proba(X_test)),
        "seconds": round(seconds),
        "auroc": scores,
    }


def of_task(results, task):
    """Return the lines of the report on one known set."""
    rows, names = [], []
    for training, methods in SCORES.items():
        found = [r for r in results if (r["task"], r["training"]) == (task, training)]
        for method in methods if found else []:
            of_sets = [r["auroc"][method] for r in found]
            names = list(of_sets[0])
            means = [np.mean([values[name] for values in of_sets]) for name in names]
            of_seeds = [np.mean(list(values.values())) for values in of_sets]
            row = [f"{training}, {method}", mean_and_spread(of_seeds)]
            rows.append([*row, *(f"{mean:.3f}" for mean in means)])
    classification = [
        [
            training,
            " ".join(str(r["seed"]) for r in found),
            mean_and_spread([r["accuracy"] for r in found], 4),
            mean_and_spread([r["ece"] for r in found]),
            mean_and_spread([r["seconds"] for r in found], 0),
        ]
        for training in SCORES
        if (
            found := [
                r for r in results if (r["task"], r["training"]) == (task, training)
            ]
        )
    ]
    header = ["training", "seeds", "accuracy", "ECE", "fit, s"]
    return [
        "",
        f"## {TITLES[task]}",
        "",
        *table(["training, score", "mean", *names], rows),
        "",
        *table(header, classification),
    ]


def to_markdown(results):
    """Return the report."""
    lines = [
        "# Images: unknown sets and broken images",
        "",
        "Written by `python benchmarks/images.py --data DIR`; its first lines say what "
        "is measured. AUROC of known test images against each set, mean over seeds; ± "
        "is the standard deviation over seeds of the mean over sets. The colour sets "
        "(CIFAR-10, street-view characters, Tiny ImageNet, scenes) are JPEG files of "
        f"quality 90. Made with {made_with(results)}.",
    ]
    for task in TITLES:
        if any(r["task"] == task for r in results):
            lines += of_task(results, task)
    return "\n".join(lines) + "\n"


def main(arguments=None):
    """Run the missing fits, and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument("--tasks", nargs="+", default=list(TITLES), choices=TITLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    results = read(args.out, "images")
    done = {(r["task"], r["training"], r["seed"]) for r in results}
    runs = (
        joblib.delayed(run)(task, training, seed, args.data)
        for seed in args.seeds
        for task in args.tasks
        for training in TRAININGS
        if (task, training, seed) not in done
    )
    parallel = joblib.Parallel(args.jobs, return_as="generator_unordered")
    for result in parallel(runs):
        results.append(result)
        write(args.out, "images", results, to_markdown(results), one_a_line=True)
        print(result["task"], result["training"], result["seed"], flush=True)


if __name__ == "__main__":
    main()
