# SPDX-License-Identifier: BSD-3-Clause
"""Measure fits on images that are larger than memory should be: memory and throughput.

    python benchmarks/memory.py [--gib 2.8]
    python benchmarks/memory.py --throughput [--gib 5.6] [--repeats 3]

Writes random uint8 images of 3x224x224 pixels, of two classes, to a file in the
temporary folder, and maps it. Each task runs in a process of its own, for one epoch,
with a small network (the images averaged over squares of 16x16 pixels, and one hidden
layer), so that the reading counts. The peak is of the anonymous memory, which the
system cannot drop: pages of the file are not in it. "in memory" is the same task on an
array; reading it into memory is not in its time.

With --throughput, the tasks whose time is mostly reading are repeated, on the disk and
in memory in turn, and the medians compared: of the time, and of the time of the
processor, which other jobs on the machine change less. Before each run the system is
asked to drop the pages of the file (POSIX_FADV_DONTNEED), so that a run on the disk
reads from it. Early stopping and detectors copy rows of an array in memory; they get 4
of 5 images.

The results go to docs/results/memory.json and memory.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from _report import RESULTS, made_with, read, table, versions, write
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
# Tasks of the throughput, and the share of the images that each gets.
SHARES = {
    "fit": 1.0,
    "fit, early stopping": 0.8,
    "OODDetector, fit and decide": 0.8,
    "ood_score": 1.0,
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


def drop_pages(path: str) -> None:
    """Ask the system to forget the pages of a file that it keeps in memory."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def anonymous_mib() -> float:
    """Return the anonymous memory of this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(s.split()[1]) / 1024 for s in lines if s.startswith("RssAnon"))


def run(task: str, path: str, n: int, in_memory: bool) -> dict:
    """Return the peak of anonymous memory, in MiB, and the seconds of a task.

    "cpu" are the seconds that the processor worked for it: other jobs do not count.
    """
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
    start, start_cpu = time.perf_counter(), time.process_time()
    if task == "ood_score":
        clf.ood_score(X)
    elif task.startswith("OODDetector"):
        detector = OODDetector(clf, random_state=0).fit(X, y)
        if task.endswith("decide"):
            detector.decide(X)
    else:
        clf.fit(X, y)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    done.set()
    watcher.join()
    return {"peak": peak[0], "seconds": seconds, "cpu": cpu}


def in_a_process(*args) -> dict:
    """Return what `run` returns, from a new process."""
    command = [sys.executable, __file__, "--run", json.dumps(args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peaks(path: Path, n: int) -> dict:
    """Return what each task takes on the disk and in memory."""
    found = {}
    for task in TASKS:
        lazy = in_a_process(task, str(path), n, False)
        whole = in_a_process(task, str(path), n, True)
        found[task] = {"lazy": lazy, "in memory": whole}
        print(task, found[task], flush=True)
    return found


def throughput(path: Path, n: int, tasks: list[str], repeats: int) -> dict:
    """Return numbers of images, seconds and peaks of runs that alternate."""
    found = {
        task: {"n": int(n * SHARES[task]), "lazy": [], "in memory": []}
        for task in tasks
    }
    for _ in range(repeats):
        for task, runs in found.items():
            for place in ("lazy", "in memory"):
                drop_pages(path)
                args = task, str(path), runs["n"], place == "in memory"
                runs[place].append(in_a_process(*args))
                print(task, place, runs[place][-1], flush=True)
    return found


def main() -> None:
    """Run the tasks, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gib", type=float, help="size of the images")
    parser.add_argument("--throughput", action="store_true", help="compare the times")
    parser.add_argument(
        "--tasks", nargs="+", choices=SHARES, default=list(SHARES), help="to compare"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs to compare")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(*json.loads(options.run))))
        return
    gib = options.gib or (5.6 if options.throughput else 2.8)
    n = int(gib * 2**30 / np.prod(SHAPE))
    results = read(RESULTS, "memory") or {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        write_images(path, n)
        made = {"n": n, "gib": gib, **versions()}
        if options.throughput:
            old = results.get("throughput", {}).get("tasks", {})
            new = throughput(path, n, options.tasks, options.repeats)
            results["throughput"] = {**made, "tasks": {**old, **new}}
        else:
            results.update({**made, "tasks": peaks(path, n)})
    write(RESULTS, "memory", results, report(results))


def report(results: dict) -> str:
    """Return the tables of memory and throughput, as far as they were measured."""
    lines = [
        "# Memory: images larger than memory should be",
        "",
        "Written by `python benchmarks/memory.py`; its first lines say what is "
        "measured.",
        "",
    ]
    if "tasks" in results:
        lines += [
            "## Memory",
            "",
            f"{results['n']:,} images, {results['gib']:g} GiB, one run of each. Made "
            f"with {made_with([results])}.",
            "",
            *table(*_table_of_peaks(results["tasks"])),
            "",
        ]
    if "throughput" in results:
        measured = results["throughput"]
        lines += [
            "## Throughput",
            "",
            f"{measured['n']:,} images, {measured['gib']:g} GiB; medians, and in "
            "brackets the range, of runs that alternated. The file was not in the "
            "memory of the system before a run. The throughput is that on the disk "
            "over that in memory. Other jobs change the seconds of the processor less "
            f"than the others. {measured.get('note', '')}Made with "
            f"{made_with([measured])}.",
            "",
            *table(*_table_of_times(measured["tasks"])),
            "",
        ]
    return "\n".join(lines)


def _table_of_peaks(tasks: dict) -> tuple[list, list]:
    """Return the header and the rows of the table of memory."""
    rows = [
        [
            task,
            f"{f['lazy']['peak']:.0f}",
            f"{f['in memory']['peak']:.0f}",
            f"{f['in memory']['seconds'] / f['lazy']['seconds']:.2f}",
        ]
        for task, f in tasks.items()
    ]
    head = ["task", "peak, MiB", "peak in memory, MiB", "throughput / in memory"]
    return head, rows


def _table_of_times(tasks: dict) -> tuple[list, list]:
    """Return the header and the rows of the table of throughput."""
    rows = []
    for task, runs in tasks.items():
        peak = max(run["peak"] for run in runs["lazy"])
        cells = [*_compared(runs, "seconds"), *_compared(runs, "cpu")]
        rows.append([task, f"{runs['n']:,}", *cells, f"{peak:.0f}"])
    head = [
        *("task", "images", "seconds, on the disk", "in memory", "throughput"),
        *("seconds of the processor, on the disk", "in memory", "throughput"),
        "peak, on the disk, MiB",
    ]
    return head, rows


def _compared(runs: dict, name: str) -> list[str]:
    """Return the medians and ranges on the disk and in memory, and their ratio."""
    medians, cells = [], []
    for place in ("lazy", "in memory"):
        values = [run[name] for run in runs[place] if name in run]
        medians.append(statistics.median(values))
        cells.append(f"{medians[-1]:.0f} ({min(values):.0f} to {max(values):.0f})")
    return [*cells, f"{medians[1] / medians[0]:.2f}"]


if __name__ == "__main__":
    main()
