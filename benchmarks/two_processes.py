# SPDX-License-Identifier: BSD-3-Clause
"""Measure how much faster two processes of Dask score a data set than one.

    OMP_NUM_THREADS=1 python benchmarks/two_processes.py

A detector scores an array of random images block by block (`map_blocks`), on one and
on two processes with one thread each. They take turns, and the first round does not
count. The blocks lie in the memory of the processes. The results go to
docs/results/two_processes.json and two_processes.md, with whether the scores are equal
to the bit to those of one call in this process. Run it on a quiet machine with two
cores.
"""

import argparse
import logging
import os
import statistics
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import torch
from _report import RESULTS, machine, table, versions, write
from dask.distributed import Client, LocalCluster
from timing import alternate

from confident_clf import ConfidentClassifier, OODDetector

SHAPE = (3, 32, 32)
BLOCK = 250


def fitted(rng):
    """Return a detector; its network is the default one for images of this shape."""
    X, y = rng.random((400, *SHAPE), np.float32), np.arange(400) % 4
    clf = ConfidentClassifier(ood_source=None, max_epochs=1, random_state=0)
    return OODDetector(clf, random_state=0).fit(X, y)


def images(client, n_images):
    """Return random images, in blocks that lie in the memory of the processes."""
    chunks = (BLOCK, *SHAPE)
    drawn = da.random.RandomState(0).random_sample((n_images, *SHAPE), chunks=chunks)
    return client.persist(drawn.astype(np.float32))


def score(client, detector, blocks):
    """Return the scores of all images, made by the processes of a client."""
    scores = blocks.map_blocks(detector.score_samples, drop_axis=(1, 2, 3), dtype=float)
    return client.compute(scores, sync=True)


@contextmanager
def start(n_processes):
    """Start processes with one thread each, and yield their client."""
    with (
        LocalCluster(
            n_workers=n_processes,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def measure(n_images, repeats):
    """Return the seconds of every round, and whether the scores are the same."""
    detector = fitted(np.random.default_rng(0))
    with start(1) as one, start(2) as two:
        blocks = {client: images(client, n_images) for client in (one, two)}
        sides = {
            name: partial(score, client, detector, blocks[client])
            for name, client in {"1": one, "2": two}.items()
        }
        seconds = alternate(sides, repeats)
        expected = detector.score_samples(one.compute(blocks[one], sync=True))
        same = {name: np.array_equal(side(), expected) for name, side in sides.items()}
    return {"n_images": n_images, "seconds": seconds, "same": same}


def to_markdown(results):
    """Return the report."""
    medians = {n: statistics.median(s) for n, s in results["seconds"].items()}
    rows = [
        [
            n,
            f"{median:.2f}",
            f"{min(results['seconds'][n]):.2f}",
            f"{medians['1'] / median:.2f}",
            "yes" if results["same"][n] else "no",
        ]
        for n, median in medians.items()
    ]
    header = ["processes", "median, s", "best, s", "speed-up", "equal to the bit"]
    about = results["environment"] | results["machine"]
    return "\n".join(
        [
            "# Scoring on two processes",
            "",
            f"`benchmarks/two_processes.py`: `score_samples` of {results['n_images']} "
            f"colour images of 32x32 pixels in blocks of {BLOCK}, by Dask, one thread "
            f"each; {len(results['seconds']['1'])} rounds in turns. The load of the "
            f'machine at the start was {results["load"]:.1f}. "Equal" is to one call '
            "without Dask.",
            "",
            *table(header, rows),
            "",
            ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
            "",
        ]
    )


def main():
    """Read the arguments, measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    results = {
        "environment": versions(),
        "machine": machine("cpu", 1),
        "load": os.getloadavg()[0],
        **measure(args.images, args.repeats),
    }
    write(args.out, "two_processes", results, to_markdown(results))


if __name__ == "__main__":
    main()
