# SPDX-License-Identifier: BSD-3-Clause
"""Measure how much AUROC is lost by choosing beta without out-of-distribution data.

    python benchmarks/selection.py --data DIR

DIR holds the files that image_sets.py names. There are five candidates: plain cross
entropy and four values of beta. ``LeaveClassesOut`` splits the training data, and a
rule picks the candidate with the highest mean AUROC of known rows against

- the held-out classes, or
- synthetic samples made from the known rows, or
- both, half each. ``make_ood_scorer(X_ood="permuted")`` scores about the same.

The regret of a pick on a set of unknown samples is the AUROC of the best candidate
there minus the AUROC of the pick. The best candidate is known only with hindsight. The
default beta and cross entropy have regrets, too.

The rule "both" was proposed after the picks for the seeds in ``LOOKED_AT`` were seen.
The other seeds test it.

The results go to docs/results/selection.json and selection.md after every five fits.
Fits that are there already do not run again. A seed takes 5 fits on all training data
and 5 for each split: 5 splits of the digits, 3 of Fashion-MNIST, 2 of CIFAR-10. On one
idle thread of a CPU this takes 4 minutes for the digits, and about half an hour for
each of the others.
"""

import argparse
import time
from pathlib import Path

import joblib
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
from _tasks import EPOCHS, load_for_search

from confident_clf import ConfidentClassifier
from confident_clf.metrics import make_ood_scorer
from confident_clf.model_selection import LeaveClassesOut

CANDIDATES = {
    "cross entropy": {"ood_source": None},
    "beta=0.03": {"beta": 0.03},
    "beta=0.1": {"beta": 0.1},
    "beta=0.3": {"beta": 0.3},
    "beta=1": {"beta": 1.0},
}
DEFAULT = "beta=0.1"
N_HELD_OUT = {"digits": 1, "fashion": 2, "cifar": 2}
N_SPLITS = {"digits": 5, "fashion": 3, "cifar": 2}
# A rule -> the sets by which it picks a candidate.
HELD_OUT, SYNTHETIC = "held-out classes", ["gaussian", "permuted"]
RULES = {name: [name] for name in (HELD_OUT, *SYNTHETIC)}
RULES["both"] = [HELD_OUT, "permuted"]
# The seeds whose picks were seen before "both" was proposed.
LOOKED_AT = {"digits": [0, 1, 2], "fashion": [0, 1, 2], "cifar": [0, 1]}
TITLES = {
    "digits": "scikit-learn's digits 0-4 known (60 % train, 40 % test); one class held "
    "out at a time",
    "fashion": "Fashion-MNIST known (first 5,000 training images, 10 epochs); two "
    "classes held out at a time, three times",
    "cifar": "CIFAR-10 known (first 4,000 training images, 10 epochs); two classes "
    "held out at a time, twice; the colour sets, CIFAR-10 too, are JPEG files of "
    "quality 90",
}


def run(task, seed, split, data):
    """Return the figures of all candidates on all data, or on one split."""
    torch.set_num_threads(1)
    X, y, X_test, y_test, unknown = load_for_search(task, data, seed)
    scorers = {name: make_ood_scorer(X_ood=X_ood) for name, X_ood in unknown.items()}
    results = []
    if split is not None:
        n_classes, n_splits = N_HELD_OUT[task], N_SPLITS[task]
        cv = LeaveClassesOut(n_classes, n_splits=n_splits, random_state=seed)
        train, test = list(cv.split(X, y))[split]
        X, y, X_held_out, y_held_out = X[train], y[train], X[test], y[test]
        known = np.isin(y_held_out, y)
        X_test, y_test = X_held_out[known], y_held_out[known]
        scorers = {name: make_ood_scorer(X_ood=name) for name in SYNTHETIC}
        scorers[HELD_OUT] = make_ood_scorer(X_ood=X_held_out[~known])
    for candidate, params in CANDIDATES.items():
        params = {"ood_source": "joint", "method": "msp", **params}
        clf = ConfidentClassifier(**params, max_epochs=EPOCHS[task], random_state=seed)
        start = time.perf_counter()
        clf.fit(X, y)
        seconds = time.perf_counter() - start
        auroc = {name: score(clf, X_test, y_test) for name, score in scorers.items()}
        which = {"task": task, "candidate": candidate, "seed": seed, "split": split}
        figures = {"accuracy": clf.score(X_test, y_test), "auroc": auroc}
        results.append({**which, **versions(), "seconds": seconds, **figures})
    return results


def key(result):
    """Return what identifies a result."""
    split = -1 if result["split"] is None else result["split"]
    return result["task"], result["seed"], split, result["candidate"]


def picks(results):
    """Return the pick of each rule, or {} if a fit of this task and seed is missing."""
    held_out = [r for r in results if r["split"] is not None]
    if len(held_out) < N_SPLITS[results[0]["task"]] * len(CANDIDATES):
        return {}
    chosen = {"default": DEFAULT, "cross entropy": "cross entropy"}
    for rule, names in RULES.items():
        means = {
            candidate: np.mean(
                [
                    [r["auroc"][name] for name in names]
                    for r in held_out
                    if r["candidate"] == candidate
                ]
            )
            for candidate in CANDIDATES
        }
        chosen[rule] = max(means, key=means.get)
    return chosen


def regrets(results, task):
    """Return rows of seed, unknown set, rule, pick and its regret."""
    rows = []
    for seed in sorted({r["seed"] for r in results if r["task"] == task}):
        of_seed = [r for r in results if (r["task"], r["seed"]) == (task, seed)]
        full = {r["candidate"]: r["auroc"] for r in of_seed if r["split"] is None}
        if len(full) < len(CANDIDATES):
            continue
        for rule, candidate in picks(of_seed).items():
            for name, auroc in full[candidate].items():
                best = max(aurocs[name] for aurocs in full.values())
                rows.append((seed, name, rule, candidate, best - auroc))
    return rows


def to_markdown(results):
    """Return the report: tables for each task, and a summary."""
    lines = [
        "# Choosing beta without out-of-distribution data",
        "",
        "Written by `python benchmarks/selection.py --data DIR`; its first lines say",
        "what is measured. Regret: AUROC of the best candidate on that unknown set",
        "minus the AUROC of the one picked, at the maximum class probability; mean",
        "over seeds (largest).",
        f"Made with {made_with(results)}.",
    ]
    for task in TITLES:
        rows = regrets(results, task)
        if rows:
            lines += ["", f"## {task}", "", f"{TITLES[task]}.", ""]
            lines += _candidate_table(results, task)
            for is_new in (False, True):
                part = [r for r in rows if (r[0] not in LOOKED_AT[task]) == is_new]
                if part:
                    lines += ["", _WHICH[is_new], "", *_regret_table(part)]
    lines += ["", "## All", "", *_summary(results)]
    return "\n".join(lines) + "\n"


_WHICH = {
    False: 'Seeds that were used to propose "both":',
    True: 'Seeds that played no part in proposing "both":',
}


def _summary(results):
    """Return the table of mean regrets over all sets of all tasks."""
    seen, new = {}, {}
    for task in TITLES:
        for seed, name, rule, _, regret in regrets(results, task):
            which = seen if seed in LOOKED_AT[task] else new
            which.setdefault(rule, {})[task, seed, name] = regret
    lines = [
        "Mean regret over all tasks, seeds and unknown sets; in brackets, how often "
        "the pick was worse than cross entropy, and by how much at most.",
        "",
    ]
    rows = [
        [rule, *(_versus(of[rule], of["cross entropy"]) for of in (seen, new) if of)]
        for rule in seen
    ]
    return lines + table(["picked by", "seeds seen", "seeds not seen"], rows)


def _versus(regrets, plain):
    """Return the mean regret, and how often and how far cross entropy is better."""
    worse = [r - plain[which] for which, r in regrets.items() if r > plain[which]]
    text = f"{np.mean(list(regrets.values())):.3f} ({len(worse)} of {len(regrets)}"
    return text + (f", {max(worse):.3f})" if worse else ")")


def _candidate_table(results, task):
    """Return the table of all candidates: mean and spread over seeds."""
    full = [r for r in results if r["task"] == task and r["split"] is None]
    sets = list(full[0]["auroc"])
    seconds = [r["seconds"] for r in results if r["task"] == task]
    lines = [
        f"{len(seconds)} fits, {sum(seconds) / 60:.0f} minutes in all.",
        "",
    ]
    rows = []
    for candidate in CANDIDATES:
        runs = [r for r in full if r["candidate"] == candidate]
        columns = [[r["accuracy"] for r in runs]]
        columns += [[r["auroc"][name] for r in runs] for name in sets]
        cells = [mean_and_spread(c, ddof=0) for c in columns]
        rows.append([candidate, *cells])
    header = ["candidate", "accuracy", *(f"AUROC, {name}" for name in sets)]
    return lines + table(header, rows)


def _regret_table(rows):
    """Return the table of regrets by rule and unknown set."""
    sets = list(dict.fromkeys(name for _, name, *_ in rows))
    cells_by_rule = []
    for rule in dict.fromkeys(row[2] for row in rows):
        of_rule = [row for row in rows if row[2] == rule]
        chosen = ", ".join(row[3] for row in of_rule if row[1] == sets[0])
        cells = []
        for name in sets:
            values = [row[4] for row in of_rule if row[1] == name]
            cells.append(mean_and_largest(values))
        cells_by_rule.append([rule, chosen, *cells])
    header = ["picked by", "picks, by seed", *(f"regret, {s}" for s in sets)]
    return table(header, cells_by_rule)


def main():
    """Run the missing fits; write JSON and Markdown after every five."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument("--tasks", nargs="+", default=list(TITLES), choices=TITLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="fits at once")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    results = read(args.out, "selection")
    done = {key(r)[:3] for r in results}
    todo = [
        (task, seed, split)
        for task in args.tasks
        for seed in args.seeds
        for split in [None, *range(N_SPLITS[task])]
        if (task, seed, -1 if split is None else split) not in done
    ]
    runs = (joblib.delayed(run)(*which, args.data) for which in todo)
    parallel = joblib.Parallel(args.jobs, return_as="generator_unordered")
    for five in parallel(runs):
        results = sorted([*results, *five], key=key)
        write(args.out, "selection", results, to_markdown(results))
        for result in five:
            print(*key(result), result["auroc"], flush=True)
    print(to_markdown(results))


if __name__ == "__main__":
    main()
