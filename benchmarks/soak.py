# SPDX-License-Identifier: BSD-3-Clause
"""Use the library for an hour in one process, and look for leaks.

    python benchmarks/soak.py --minutes 60

A loop fits, predicts, samples, pickles, clones, saves and loads: classifiers of every
regime on rows and on images, a detector and an open-set classifier. It also provokes
errors before and during training. After every loop the script reads the resident
memory, and counts open files, threads and, after a garbage collection, objects. At the
end the results go to docs/results/soak.json and soak.md, and the plot to
docs/images/soak.png. This replaces the comments added to soak.md by hand.
"""

import argparse
import contextlib
import gc
import os
import pickle
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _report import RESULTS, table, versions, write
from scipy.stats import theilslopes
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from confident_clf import (
    ConfidentClassifier,
    DivergenceError,
    OODDetector,
    OpenSetClassifier,
    load,
    save,
)

IMAGE = RESULTS.parent / "images" / "soak.png"
COUNTS = {
    "memory": "resident memory, MiB",
    "objects": "objects after a collection",
    "files": "open files",
    "threads": "threads",
}
# The first loops fill caches and make the allocator grow; slopes leave them out.
WARM_UP = 0.1
MAX_POINTS = 200

ROWS, LABELS = load_digits(n_class=4, return_X_y=True)
ROWS = (ROWS[:240] / 16).astype(np.float32)
LABELS = LABELS[:240]
PIXELS = np.rint(ROWS * 255).astype(np.uint8).reshape(-1, 1, 8, 8)
UNKNOWN = np.random.default_rng(0).random((60, 64)).astype(np.float32)


class Fails(Callback):
    """A user's callback that raises an error during training."""

    def on_epoch_end(self, net, **kwargs):
        """Raise the error."""
        raise ArithmeticError


def classifiers():
    """Return a classifier of every regime, its data and further arguments of `fit`."""
    rows, images = (ROWS, LABELS), (PIXELS, LABELS)
    make = partial(ConfidentClassifier, ood_source="joint", method="msp")
    return [
        (make(max_epochs=2), rows, {}),
        (make(ood_source="gan", max_epochs=2), rows, {}),
        (make(ood_source="explicit", max_epochs=2), rows, {"X_ood": UNKNOWN}),
        (make(ood_source="noise", ood_target="reject", max_epochs=2), rows, {}),
        (make(ood_source=["features", "noise"], max_epochs=2), rows, {}),
        (make(ood_source=None, method="knn", early_stopping=True), rows, {}),
        (make(ood_source=None, method="mahalanobis", max_epochs=2), rows, {}),
        (make(max_epochs=1, batch_size=32), images, {}),
        (make(ood_source=None, augment="flip_crop", max_epochs=1), images, {}),
    ]


def use(estimator, X, y, fit_params, folder):
    """Fit an estimator, copy it by pickle and by file, and predict with all three."""
    estimator = clone(estimator).fit(X, y, **fit_params)
    twin = pickle.loads(pickle.dumps(estimator))
    path = Path(folder) / "model.safetensors"
    save(estimator, path)
    for each in (estimator, twin, load(path)):
        each.predict(X)
        each.ood_score(X)
    return estimator


def use_classifier(clf, X, y, fit_params, folder):
    """Use a classifier; also sample, train further, and resume from a checkpoint."""
    clf = use(clf, X, y, fit_params, folder)
    clf.predict_proba(X)
    clf.ood_score(X, method="odin")
    if clf.ood_source is not None:
        clf.sample_ood(10)
    clf.set_params(early_stopping=False).partial_fit(X, y, **fit_params)
    clf.set_params(checkpoint=Path(folder) / "checkpoint", max_epochs=1)
    for _ in range(2):
        clf.fit(X, y, **fit_params)


def run_into_errors():
    """Provoke errors: by the data, by a callback and by diverging weights."""
    for params, X, error in [
        ({}, np.full_like(ROWS, np.nan), ValueError),
        ({"callbacks": [Fails()]}, ROWS, ArithmeticError),
        ({"lr": 1e30, "ood_source": None}, 1e30 * ROWS, DivergenceError),
    ]:
        with contextlib.suppress(error):
            ConfidentClassifier(max_epochs=2, **params).fit(X, LABELS)
            raise AssertionError(f"{error.__name__} was expected")


def loop():
    """Use everything once."""
    for clf, (X, y), fit_params in classifiers():
        with tempfile.TemporaryDirectory() as folder:
            use_classifier(clf, X, y, fit_params, folder)
    clf = ConfidentClassifier(ood_source=None, max_epochs=2)
    with tempfile.TemporaryDirectory() as folder:
        use(OODDetector(make_pipeline(StandardScaler(), clf)), ROWS, LABELS, {}, folder)
        open_set = OpenSetClassifier(clf)
        use(open_set, ROWS, LABELS, {}, folder)
    run_into_errors()


def held():
    """Return the memory, files, threads and objects that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    figures = {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }
    gc.collect()
    return figures | {"objects": len(gc.get_objects())}


def soak(minutes):
    """Return what the process held at the start and after every loop, with the time."""
    start, cpu_start = time.monotonic(), time.process_time()
    points = [{"minute": 0.0, "cpu_minute": 0.0, **held()}]
    while points[-1]["minute"] < minutes:
        loop()
        now = {
            "minute": (time.monotonic() - start) / 60,
            # Less than the time on the clock if other processes use the CPU.
            "cpu_minute": (time.process_time() - cpu_start) / 60,
        }
        points.append({**now, **held()})
    return points


def to_markdown(points, made_with):
    """Return the report."""
    n_loops, end = len(points) - 1, points[-1]["minute"]
    first = max(1, round(WARM_UP * n_loops))
    warm = points[first:]
    lines = [
        "# Soak",
        "",
        f"`benchmarks/soak.py`: {n_loops} loops in {end:.0f} minutes in one process, "
        f"which had one thread of a CPU for {points[-1]['cpu_minute']:.0f} of them.",
        f"The slopes are medians over all pairs of points from loop {first} on, with "
        "95 % intervals (Theil-Sen).",
        "",
    ]
    slopes = ["slope per 100 loops", "slope per hour"]
    header, rows = ["", "start", f"loop {first}", "end", *slopes], []
    for name, title in COUNTS.items():
        values = [point[name] for point in warm]
        hours = [point["minute"] / 60 for point in warm]
        loops = np.arange(len(warm)) / 100
        slopes = [
            "{0:+.2f} ({2:+.2f} to {3:+.2f})".format(*theilslopes(values, x))
            for x in (loops, hours)
        ]
        figures = [points[0][name], values[0], values[-1]]
        rows.append([title, *(f"{figure:.0f}" for figure in figures), *slopes])
    lines += [*table(header, rows), "", "![](../images/soak.png)", ""]
    stated = ", ".join(f"{name} {version}" for name, version in made_with.items())
    return "\n".join([*lines, f"{stated}.", ""])


def thinned(points):
    """Return at most `MAX_POINTS` points, with the first and the last."""
    n = min(len(points), MAX_POINTS)
    return [points[i] for i in np.linspace(0, len(points) - 1, n).round().astype(int)]


def write_all(points, made_with):
    """Write the results, the report and the plot."""
    results = {
        "environment": made_with,
        "n_loops": len(points) - 1,
        "points": thinned(points),
    }
    write(RESULTS, "soak", results, to_markdown(points, made_with))
    plot(thinned(points))


def plot(points):
    """Plot what the process held over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    for axes, (name, title) in zip(
        figure.subplots(2, 2, sharex=True).flat, COUNTS.items(), strict=True
    ):
        axes.plot(
            [point["minute"] for point in points],
            [point[name] for point in points],
            linewidth=1,
        )
        axes.set(title=title, ylim=(0, None), xlabel="minutes")
    figure.savefig(IMAGE, dpi=100)


def main():
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    made_with = versions()  # the commit at the start
    write_all(soak(minutes), made_with)


if __name__ == "__main__":
    main()
