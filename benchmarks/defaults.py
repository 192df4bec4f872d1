# SPDX-License-Identifier: BSD-3-Clause
"""Choose defaults, on data that no report is about.

    python benchmarks/defaults.py --data DIR --choose gan_lr
    python benchmarks/defaults.py --data DIR --choose lr_schedule

Every candidate trains for 10 epochs on 5,000 of the first 50,000 training images of
Fashion-MNIST. The last 10,000 training images are the known test samples. There are
seven unknown sets: street-view characters and CIFAR-10, both in grey, random strokes,
uniform noise, and known images with shuffled patches, reduced to edges or turned by 90
degrees. DIR holds the files that image_sets.py names. The script prints its figures;
docs/results/defaults.md is written by hand.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
import torch
from image_sets import grey, load
from PIL import Image, ImageDraw

from confident_clf import ConfidentClassifier
from confident_clf.metrics import auroc

SOURCES = [None, "joint", "noise", "features"]
CHOICES = {
    "gan_lr": [{"ood_source": None}]
    + [{"gan_lr": rate} for rate in (2e-4, 5e-4, 1e-3, 2e-3)],
    "lr_schedule": [
        {"ood_source": source, "lr_schedule": schedule, "lr": lr}
        for source in SOURCES
        for schedule, lr in ((None, 1e-3), ("one_cycle", 1e-3), ("one_cycle", 2e-3))
    ],
}
SEEDS = [0, 1]
N = 3000


def strokes(rng):
    """Return an image of one to three random curves on black."""
    image = Image.new("L", (28, 28))
    draw = ImageDraw.Draw(image)
    t = np.linspace(0, 1, 12)[:, None]
    for _ in range(rng.integers(1, 4)):
        a, b, c = rng.uniform(3, 25, (3, 2))
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        color, width = int(rng.integers(150, 256)), int(rng.integers(1, 4))
        draw.line([tuple(point) for point in curve], fill=color, width=width)
    return np.asarray(image)[None]


def patch_shuffled(images, rng):
    """Return images (n, 1, 28, 28) with their 7x7 patches in random order."""
    order = rng.permuted(np.tile(np.arange(16), (len(images), 1)), axis=1)
    patches = images.reshape(-1, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4)
    patches = patches.reshape(-1, 16, 7, 7)[np.arange(len(images))[:, None], order]
    grid = patches.reshape(-1, 4, 4, 7, 7).transpose(0, 1, 3, 2, 4)
    return grid.reshape(-1, 1, 28, 28)


def stand_ins(data, known):
    """Return the unknown sets by name, each uint8, (n, 1, 28, 28)."""
    rng = np.random.default_rng(123)
    edges = 2 * np.abs(np.diff(known.astype(int), axis=3, append=0))
    return {
        "characters": grey(load(data, "streetview_chars", N)[0]),
        "CIFAR-10": grey(load(data, "cifar10_test", N)[0]),
        "strokes": np.stack([strokes(rng) for _ in range(N)]),
        "shuffled": patch_shuffled(known, rng),
        "edges": edges.clip(0, 255).astype(np.uint8),
        "turned": np.rot90(known, axes=(2, 3)),
        "noise": rng.integers(0, 256, (N, 1, 28, 28)).astype(np.uint8),
    }


def evaluate(data, params, seed):
    """Fit once; return the accuracy, and the AUROC on every unknown set."""
    torch.set_num_threads(1)
    X, y = load(data, "fashion_mnist_train")
    train = np.random.default_rng(seed).permutation(50_000)[:5000]
    X_test, y_test = X[50_000:], y[50_000:]
    params = {"ood_source": "joint", "method": "msp", **params}
    clf = ConfidentClassifier(**params, max_epochs=10, random_state=seed)
    clf.fit(X[train], y[train])
    known = clf.score_samples(X_test)
    figures = {"accuracy": clf.score(X_test, y_test)}
    for name, images in stand_ins(data, X_test[:N]).items():
        scores = np.concatenate([known, clf.score_samples(images)])
        figures[name] = auroc(np.arange(len(scores)) < len(known), scores)
    return figures


def main():
    """Print a line for every value and seed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--choose", required=True, choices=CHOICES)
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    args = parser.parse_args()
    todo = [(params, seed) for params in CHOICES[args.choose] for seed in SEEDS]
    results = joblib.Parallel(args.jobs, return_as="generator")(
        joblib.delayed(evaluate)(args.data, params, seed) for params, seed in todo
    )
    for (params, seed), figures in zip(todo, results, strict=True):
        mean = np.mean([v for k, v in figures.items() if k != "accuracy"])
        cells = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"{params} seed {seed}: mean AUROC {mean:.3f}; {cells}", flush=True)


if __name__ == "__main__":
    main()
