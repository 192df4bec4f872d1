# SPDX-License-Identifier: BSD-3-Clause
"""Measure what docs/scaling.rst reckons with, and simulate stragglers and failures.

    python benchmarks/scaling.py

Growth: fits of random rows (2,000 rows, 20 features, 4 classes, 5 epochs, defaults),
where one of these is 1, 2, 4 and 8 times as large. The fits alternate; a figure is the
ratio of the median time of three to that of the smallest. Times are of the CPU.

Costs, of one core: a fit of the defaults on such rows; the score of a row, for
classifiers of the smallest fit above; reading a JPEG file of 500x375 pixels and some
100 kB by this library, shrunk to 224x224. Of a ResNet-50 on images of 224x224:
multiplications, counted by torch, and bytes that the forward pass keeps for the
backward pass, in float32. How often a fit reads each image of a Dataset that is larger
than a block, besides the epochs.

Stragglers: in each of 2,000 steps every one of n ranks takes a time drawn from a
lognormal distribution with mean 1 and a coefficient of variation of .2; the step takes
as long as the slowest. Failures: each rank fails after a time drawn from an exponential
distribution with a mean of 1,000 hours; all ranks then go on from the last checkpoint,
after 6 minutes. Checkpoints come every 12 minutes, the job is 24 hours of work. Mean
and standard deviation of 20 seeds.

The results go to docs/results/scaling.json and scaling.md.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _report import RESULTS, made_with, mean_and_spread, table, versions, write
from PIL import Image
from scipy import integrate, stats
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from confident_clf import ConfidentClassifier
from confident_clf.utils import _lazy
from confident_clf.utils._items import opened

SIZES = {"rows": 2000, "features": 20, "classes": 4, "epochs": 5}
TIMES = [1, 2, 4, 8]
RANKS = [1, 8, 64, 512]
N_SEEDS = 20


def data(rows, features, classes) -> tuple[np.ndarray, np.ndarray]:
    """Return random rows and labels."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % classes
    X = rng.normal(size=(rows, features)) + rng.normal(size=(classes, features))[y]
    return X, y


def seconds(rows, features, classes, epochs) -> float:
    """Return the time of a fit of random rows."""
    X, y = data(rows, features, classes)
    start = time.process_time()
    ConfidentClassifier(max_epochs=epochs, random_state=0).fit(X, y)
    return time.process_time() - start


def growth() -> dict[str, list[float]]:
    """Return the ratios of times for each size that grows."""
    taken = {name: {k: [] for k in TIMES} for name in SIZES}
    seconds(**SIZES)
    for _ in range(3):
        for name in SIZES:
            for k in TIMES:
                taken[name][k].append(seconds(**SIZES | {name: SIZES[name] * k}))
    medians = {
        name: [statistics.median(of_k) for of_k in by_k.values()]
        for name, by_k in taken.items()
    }
    return {name: [m / of[0] for m in of] for name, of in medians.items()}


def seconds_of_the_defaults() -> float:
    """Return the time of a fit of the smallest size, with the default epochs."""
    epochs = ConfidentClassifier().max_epochs
    return statistics.median(seconds(**SIZES | {"epochs": epochs}) for _ in range(3))


def microseconds_per_row() -> dict[str, float]:
    """Return the time of the score of a row, of one core."""
    X, y = data(**{name: SIZES[name] for name in ("rows", "features", "classes")})
    many = np.tile(X, (10, 1)).astype(np.float32)
    found = {}
    for method in ("energy", ["energy", "mahalanobis"], "auto"):
        clf = ConfidentClassifier(
            method=method, max_epochs=SIZES["epochs"], random_state=0
        ).fit(X, y)
        clf.ood_score(X)
        times = []
        for _ in range(5):
            start = time.process_time()
            clf.ood_score(many)
            times.append(time.process_time() - start)
        found[str(method)] = statistics.median(times) / len(many) * 1e6
    return found


def milliseconds_per_file(n=100) -> float:
    """Return the time to read a JPEG file and shrink it, of one core."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jpg" for i in range(n)]
        for path in paths:
            blobs = Image.fromarray(rng.integers(0, 256, (94, 125, 3), dtype=np.uint8))
            pixels = np.asarray(blobs.resize((500, 375), Image.Resampling.BICUBIC))
            noisy = pixels + rng.normal(0, 6, pixels.shape)
            image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            image.save(path, quality=90)
        X = opened(paths, (3, 224, 224))
        np.asarray(X[:5])
        start = time.process_time()
        np.asarray(X[:])
        return (time.process_time() - start) / n * 1e3


def of_a_resnet() -> dict[str, float]:
    """Return parameters, multiplications and bytes to keep, for one image."""
    network = resnet50().train()
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def kept(n):
        storages, tensors = {}, []

        def keep(tensor):
            tensors.append(tensor)  # so that no storage is used twice
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network(torch.rand(n, 3, 224, 224))
        return sum(size for key, size in storages.items() if key not in parameters)

    x = torch.rand(1, 3, 224, 224)
    with FlopCounterMode(display=False) as forward:
        network(x)
    with FlopCounterMode(display=False) as both:
        network(x).sum().backward()
    return {
        "million parameters": sum(p.numel() for p in network.parameters()) / 1e6,
        "billion multiplications, forward": forward.get_total_flops() / 2e9,
        "with backward": both.get_total_flops() / 2e9,
        "MB kept": (kept(3) - kept(1)) / 2e6,
    }


class Counted(Dataset):
    """Random images of two classes that count how often they are read."""

    def __init__(self, n=600):
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 256, (n, 3, 8, 8), np.uint8))
        self.n_reads = 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        self.n_reads += 1
        return self.images[row], row % 2


def passes_besides_epochs() -> dict[str, float]:
    """Return how often a fit reads an image, besides once in every epoch."""
    _lazy.BLOCK_BYTES = 2**12  # the images are more than one block
    found = {}
    for source in (None, "features", "noise"):
        for checkpoint in (False, True):
            images = Counted()
            with tempfile.TemporaryDirectory() as folder:
                ConfidentClassifier(
                    ood_source=source,
                    method="msp",
                    max_epochs=2,
                    checkpoint=folder if checkpoint else None,
                    random_state=0,
                ).fit(images, np.arange(len(images)) % 2)
            name = f"{source}, checkpoint" if checkpoint else f"{source}"
            found[name] = images.n_reads / len(images) - 2
    return found


def costs() -> dict[str, dict[str, float]]:
    """Return all costs, by what they are of."""
    torch.set_num_threads(1)
    return {
        "seconds of a fit": {"defaults, 2,000 rows": seconds_of_the_defaults()},
        "microseconds for the score of a row": microseconds_per_row(),
        "milliseconds to read": {"a JPEG file": milliseconds_per_file()},
        "ResNet-50, one image": of_a_resnet(),
        "reads of an image besides the epochs": passes_besides_epochs(),
    }


def slowest(n: int, rng, n_steps=2000, variation=0.2) -> float:
    """Return the mean time of a step of n ranks, where the mean of one rank is 1."""
    sigma = np.sqrt(np.log(1 + variation**2))
    times = rng.lognormal(-(sigma**2) / 2, sigma, (n_steps, n))
    return times.max(axis=1).mean()


def expected_slowest(n: int, variation=0.2) -> float:
    """Return the mean of `slowest`: the integral of 1 - F(t)**n over the times t."""
    sigma = np.sqrt(np.log(1 + variation**2))
    one = stats.lognorm(sigma, scale=np.exp(-(sigma**2) / 2))
    return integrate.quad(lambda t: 1 - one.cdf(t) ** n, 0, 10, limit=200)[0]


def hours_of_job(
    n: int, rng, work=24.0, between=0.2, restart=0.1, mean=1000.0
) -> float:
    """Return the hours that a job takes on n ranks that may fail."""
    clock = done = 0.0
    to_failure = rng.exponential(mean / n)
    while done < work:
        step = min(between, work - done)
        if to_failure > step:
            clock, done, to_failure = clock + step, done + step, to_failure - step
            continue
        clock += to_failure + restart  # the work since the checkpoint is lost
        to_failure = rng.exponential(mean / n)
    return clock


def expected_hours(n: int, work=24.0, between=0.2, restart=0.1, mean=1000.0) -> float:
    """Return the mean of `hours_of_job` for intervals of equal length, in closed form.

    An interval of length c ends if no failure comes within it. With rate r = n / mean
    the mean time until it ends is ``(exp(r c) - 1) (1 / r + restart)``.
    """
    rate = n / mean
    return round(work / between) * np.expm1(rate * between) * (1 / rate + restart)


def simulate() -> list[dict]:
    """Return the slowdowns of each number of ranks."""
    results = []
    for n in RANKS:
        rngs = [np.random.default_rng(seed) for seed in range(N_SEEDS)]
        results.append(
            {
                "ranks": n,
                "slowest": [slowest(n, rng) for rng in rngs],
                "expected slowest": expected_slowest(n),
                "hours": [hours_of_job(n, rng) for rng in rngs],
                "expected": expected_hours(n),
            }
        )
    return results


def main() -> None:
    """Measure, simulate, and write the report."""
    ratios, found, simulated = growth(), costs(), simulate()
    results = {
        **versions(),
        "growth": ratios,
        "costs": found,
        "simulated": simulated,
    }
    cost_rows = [
        [of, name, f"{value:.3g}"]
        for of, values in found.items()
        for name, value in values.items()
    ]
    grown = [[name, *(f"{r:.2f}" for r in row)] for name, row in ratios.items()]
    rows = [
        [
            str(r["ranks"]),
            mean_and_spread(r["slowest"], 2),
            f"{r['expected slowest']:.2f}",
            mean_and_spread(r["hours"], 2),
            f"{r['expected']:.2f}",
        ]
        for r in simulated
    ]
    text = [
        "# Scaling",
        "",
        "Written by `python benchmarks/scaling.py`; its first lines say what is "
        f"measured and simulated. Made with {made_with([results])}.",
        "",
        "## Growth of the time of a fit",
        "",
        *table(["what grows", *(f"x{k}" for k in TIMES)], grown),
        "",
        "## Costs",
        "",
        *table(["", "", "measured"], cost_rows),
        "",
        "## Stragglers and failures, simulated",
        "",
        *table(
            [
                "ranks",
                "time of a step",
                "by an integral",
                "hours of a 24-hour job",
                "in closed form",
            ],
            rows,
        ),
        "",
    ]
    write(RESULTS, "scaling", results, "\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()
