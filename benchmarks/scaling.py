# SPDX-License-Identifier: BSD-3-Clause
"""Measure how the time of a fit grows, and simulate stragglers and failures.

    python benchmarks/scaling.py

Growth: fits of random rows (2,000 rows, 20 features, 4 classes, 5 epochs, defaults),
where one of these is 1, 2, 4 and 8 times as large. The fits alternate; a figure is the
ratio of the median time of three to that of the smallest.

Stragglers: in each of 2,000 steps every one of n ranks takes a time drawn from a
lognormal distribution with mean 1 and a coefficient of variation of .2; the step takes
as long as the slowest. Failures: each rank fails after a time drawn from an exponential
distribution with a mean of 1,000 hours; all ranks then go on from the last checkpoint,
after 6 minutes. Checkpoints come every 12 minutes, the job is 24 hours of work. Mean
and standard deviation of 20 seeds.

The results go to docs/results/scaling.json and scaling.md.
"""

import statistics
import time

import numpy as np
from _report import RESULTS, made_with, mean_and_spread, table, versions, write
from scipy import integrate, stats

from confident_clf import ConfidentClassifier

SIZES = {"rows": 2000, "features": 20, "classes": 4, "epochs": 5}
TIMES = [1, 2, 4, 8]
RANKS = [1, 8, 64, 512]
N_SEEDS = 20


def seconds(rows, features, classes, epochs) -> float:
    """Return the time of a fit of random rows."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % classes
    X = rng.normal(size=(rows, features)) + rng.normal(size=(classes, features))[y]
    start = time.perf_counter()
    ConfidentClassifier(max_epochs=epochs, random_state=0).fit(X, y)
    return time.perf_counter() - start


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
    ratios, simulated = growth(), simulate()
    results = {**versions(), "growth": ratios, "simulated": simulated}
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
