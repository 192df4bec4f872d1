# SPDX-License-Identifier: BSD-3-Clause
"""Measure the memory of fits on images that are larger than memory should be.

    python benchmarks/memory.py [--gib 2.8]

Writes random uint8 images of 3x224x224 pixels, of two classes, to a file in the
temporary folder, and maps it. Each task runs in a process of its own, for one epoch,
with a small network (the images averaged over squares of 16x16 pixels, and one hidden
layer), so that the reading counts. The peak is of the anonymous memory, which the
system cannot drop: pages of the file are not in it. "in memory" is the same task on an
array, for the time.

The results go to docs/results/memory.json and memory.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from _report import RESULTS, made_with, table, versions, write
from torch import nn

from confident_clf import ConfidentClassifier, OODDetector

SHAPE = (3, 224, 224)
TASKS = {
    "fit": {"ood_source": None},
    "fit, noise": {"ood_source": "noise"},
    "fit, early stopping": {"ood_source": None, "early_stopping": True},
    "fit, one row of ood_label": {"ood_source": "explicit", "ood_label": 2},
    "OODDetector, fit": {"ood_source": None},
    "OODDetector, fit and decide": {"ood_source": None},
    "ood_score": {"ood_source": None},
}


class SmallNet(nn.Sequential):
    """Averages over squares, one hidden layer."""

    def __init__(self, input_shape, n_classes):
        n_inputs = 3 * (input_shape[1] // 16) ** 2
        super().__init__(
            nn.AvgPool2d(16),
            nn.Flatten(),
            nn.Linear(n_inputs, 32),
            nn.ReLU(),
            nn.Linear(32, n_classes),
        )


def write_images(path: Path, n: int) -> None:
    """Write images of two classes: those of the second are lighter."""
    rng = np.random.default_rng(0)
    images = np.memmap(path, np.uint8, "w+", shape=(n, *SHAPE))
    for start in range(0, n, 200):
        part = rng.integers(0, 200, (min(200, n - start), *SHAPE), np.uint8)
        part[1::2] += 40
        images[start : start + 200] = part
    images.flush()


def anonymous_mib() -> float:
    """Return the anonymous memory of this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(s.split()[1]) / 1024 for s in lines if s.startswith("RssAnon"))


def run(task: str, path: str, n: int, in_memory: bool) -> dict:
    """Return the peak of anonymous memory, in MiB, and the seconds of a task."""
    peak, done = [0.0], threading.Event()

    def watch():
        while not done.wait(0.01):
            peak[0] = max(peak[0], anonymous_mib())

    X = np.memmap(path, np.uint8, "r", shape=(n, *SHAPE))
    X = np.array(X) if in_memory else X
    y = np.arange(n) % 2
    make = partial(ConfidentClassifier, SmallNet, max_epochs=1, random_state=0)
    clf = make(**TASKS[task])
    if clf.ood_label is not None:
        y[7] = clf.ood_label
    if task == "ood_score":
        clf.fit(X[:500], y[:500])
    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    if task == "ood_score":
        clf.ood_score(X)
    elif task.startswith("OODDetector"):
        detector = OODDetector(clf, random_state=0).fit(X, y)
        if task.endswith("decide"):
            detector.decide(X)
    else:
        clf.fit(X, y)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return {"peak": peak[0], "seconds": seconds}


def in_a_process(*args) -> dict:
    """Return what `run` returns, from a new process."""
    command = [sys.executable, __file__, "--run", json.dumps(args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run every task, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gib", type=float, default=2.8, help="size of the images")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(*json.loads(options.run))))
        return
    n = int(options.gib * 2**30 / np.prod(SHAPE))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        write_images(path, n)
        for task in TASKS:
            lazy = in_a_process(task, str(path), n, False)
            whole = in_a_process(task, str(path), n, True)
            found[task] = {"lazy": lazy, "in memory": whole}
            print(task, found[task], flush=True)
    write_report(found, n, options.gib)


def write_report(found: dict, n: int, gib: float) -> None:
    """Write the figures as JSON and as a table."""
    results = {"n": n, "gib": gib, **versions(), "tasks": found}
    rows = [
        [
            task,
            f"{f['lazy']['peak']:.0f}",
            f"{f['in memory']['peak']:.0f}",
            f"{f['in memory']['seconds'] / f['lazy']['seconds']:.2f}",
        ]
        for task, f in found.items()
    ]
    head = ["task", "peak, MiB", "peak in memory, MiB", "throughput / in memory"]
    text = (
        "# Memory: images larger than memory should be\n\n"
        "Written by `python benchmarks/memory.py`; its first lines say what is "
        f"measured. {n:,} images, {gib:g} GiB. Made with {made_with([results])}.\n\n"
        + "\n".join(table(head, rows))
        + "\n"
    )
    write(RESULTS, "memory", results, text)


if __name__ == "__main__":
    main()
