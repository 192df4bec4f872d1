# SPDX-License-Identifier: BSD-3-Clause
"""Compare the beta that ConfidentClassifierCV chooses with those of other searches.

    python benchmarks/beta_search.py --data DIR

The data are scikit-learn's digits, 0 to 4 known; DIR is not read. All searches choose
among eight betas on the same three splits. Each split holds out two classes. The
criterion is the AUROC of known rows against the held-out classes and permuted rows.
"all epochs" trains every beta on every split in full. "halving" trains all for a ninth
of the epochs, and the best three for a third. The regret on a set of unknown samples is
the AUROC of the best candidate there minus the AUROC of the beta chosen.

The results go to docs/results/beta_search.json and beta_search.md after every seed.
Seeds that are there already do not run again. A seed takes about 5 minutes on one
thread of a CPU. Section "beta" of benchmarks/speed.py measures the cost of the search.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from _report import (
    RESULTS,
    made_with,
    mean_and_largest,
    mean_and_spread,
    read,
    table,
    versions,
    write,
)
from _tasks import load_for_search
from sklearn.model_selection import GridSearchCV

from confident_clf import ConfidentClassifier, ConfidentClassifierCV
from confident_clf.metrics import make_ood_scorer
from confident_clf.model_selection import LeaveClassesOut

BETAS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
DEFAULT = "beta=0.1"
MAX_EPOCHS = 50
SOURCES = ["joint", "noise"]


def grid(X, y, cv, betas, max_epochs, **params):
    """Return betas from the best to the worst."""
    clf = ConfidentClassifier(max_epochs=max_epochs, method="msp", **params)
    scoring = make_ood_scorer(X_ood="permuted")
    search = GridSearchCV(
        clf, {"beta": betas}, cv=cv, scoring=scoring, refit=False
    ).fit(X, y)
    order = np.argsort(-search.cv_results_["mean_test_score"], kind="stable")
    return [betas[i] for i in order]


def all_epochs(X, y, cv, **params):
    """Return the beta that full trainings choose."""
    return grid(X, y, cv, BETAS, MAX_EPOCHS, **params)[0]


def halving(X, y, cv, **params):
    """Return the beta that successive halving of the candidates chooses."""
    best = grid(X, y, cv, BETAS, MAX_EPOCHS // 9, **params)[:3]
    return grid(X, y, cv, best, MAX_EPOCHS // 3, **params)[0]


def confident_classifier_cv(X, y, cv, **params):
    """Return the beta chosen by continuing copies of one training."""
    clf = ConfidentClassifier(max_epochs=MAX_EPOCHS, method="msp", **params)
    return ConfidentClassifierCV(clf, betas=BETAS, cv=cv).fit(X, y).beta_


SEARCHES = {
    "all epochs": all_epochs,
    "halving": halving,
    "ConfidentClassifierCV": confident_classifier_cv,
}


def run(source, seed, data):
    """Return the figures of all betas, and the choice of each search."""
    X, y, X_test, y_test, unknown = load_for_search("digits", data, seed)
    scorers = {name: make_ood_scorer(X_ood=X_ood) for name, X_ood in unknown.items()}
    candidates = {"cross entropy": {"ood_source": None}}
    candidates |= {f"beta={b:g}": {"beta": b, "ood_source": source} for b in BETAS}
    figures = {}
    for name, params in candidates.items():
        clf = ConfidentClassifier(
            max_epochs=MAX_EPOCHS, method="msp", random_state=seed, **params
        )
        clf.fit(X, y)
        figures[name] = {"accuracy": clf.score(X_test, y_test)}
        figures[name] |= {n: score(clf, X_test, y_test) for n, score in scorers.items()}
    cv = LeaveClassesOut(2, test_size=0.3, random_state=seed)
    picks = {
        name: f"beta={search(X, y, cv, ood_source=source, random_state=seed):g}"
        for name, search in SEARCHES.items()
    }
    return {
        "source": source,
        "seed": seed,
        **versions(),
        "figures": figures,
        "picks": picks,
    }


def to_markdown(results):
    """Return the report: two tables for each source."""
    lines = [
        "# What ConfidentClassifierCV chooses",
        "",
        "Written by `python benchmarks/beta_search.py --data DIR`; its first lines say",
        "what is measured. Regret: mean over seeds (largest).",
        f"Made with {made_with(results)}.",
    ]
    for source in SOURCES:
        runs = [r for r in results if r["source"] == source]
        if runs:
            lines += ["", f'## ood_source="{source}"', ""]
            lines += [*_candidate_table(runs), "", *_search_table(runs)]
    return "\n".join(lines) + "\n"


def _candidate_table(runs):
    """Return the table of all candidates: mean and spread over seeds."""
    columns = list(next(iter(runs[0]["figures"].values())))
    heads = [c if c == "accuracy" else f"AUROC, {c}" for c in columns]
    rows = []
    for name in runs[0]["figures"]:
        values = [[r["figures"][name][c] for r in runs] for c in columns]
        cells = [mean_and_spread(v, 4, ddof=0) for v in values]
        rows.append([name, *cells])
    return table(["candidate", *heads], rows)


def _search_table(runs):
    """Return the table of picks and regrets."""
    sets = [c for c in runs[0]["figures"][DEFAULT] if c != "accuracy"]
    rows = []
    rules = {name: [r["picks"][name] for r in runs] for name in SEARCHES}
    rules |= {name: [name] * len(runs) for name in ("cross entropy", DEFAULT)}
    for rule, picks in rules.items():
        cells = []
        for name in sets:
            regrets = [
                max(f[name] for f in r["figures"].values()) - r["figures"][pick][name]
                for r, pick in zip(runs, picks, strict=True)
            ]
            cells.append(mean_and_largest(regrets, 4))
        rows.append([rule, ", ".join(picks), *cells])
    return table(["chosen by", "by seed", *(f"regret, {s}" for s in sets)], rows)


def main():
    """Run the missing seeds; write JSON and Markdown after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument("--sources", nargs="+", default=SOURCES, choices=SOURCES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = read(args.out, "beta_search")
    done = {(r["source"], r["seed"]) for r in results}
    for source in args.sources:
        for seed in args.seeds:
            if (source, seed) not in done:
                results.append(run(source, seed, args.data))
                write(args.out, "beta_search", results, to_markdown(results))
                print(source, seed, results[-1]["picks"], flush=True)
    print(to_markdown(results))


if __name__ == "__main__":
    main()
