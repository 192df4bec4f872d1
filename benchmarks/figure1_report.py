# SPDX-License-Identifier: BSD-3-Clause
"""Tables and the bar chart of benchmarks/figure1.py."""

import matplotlib
import numpy as np
from _report import made_with, mean_and_spread, table

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

METRICS = {
    "tnr_at_tpr": "TNR at 95 % TPR",
    "auroc": "AUROC",
    "detection_accuracy": "detection accuracy",
    "aupr_in": "AUPR in",
    "aupr_out": "AUPR out",
}
# Only in results of the maximum class probability that have it.
ON_GRID = {"auroc_on_grid": "AUROC on the reference code's grid"}
# The paper's bars in its colours, then ours.
COLORS = {
    "cross entropy": "tab:red",
    "explicit": "tab:green",
    "original GAN": "tab:orange",
    "joint": "tab:blue",
    "joint, entropy": "tab:cyan",
    "noise": "tab:purple",
    "noise, beta=1": "tab:pink",
    "joint + noise": "tab:brown",
    "joint + noise, beta=1": "tab:olive",
}
OF_PAPER = ["cross entropy", "explicit", "original GAN", "joint"]
SEEN = {
    "explicit": {
        "fashion": ["MNIST"],
        "cifar": ["street-view characters"],
        "characters": ["CIFAR-10"],
    },
    "noise": ["Gaussian noise", "uniform noise"],
}
TITLES = {
    "fashion": "Fashion-MNIST known",
    "cifar": "CIFAR-10 known",
    "characters": "street-view characters known",
}
RECIPE = (
    "The recipe is the paper's (`confident_clf.recipes`): VGG13, DCGAN of width 64, "
    "Adam at 2e-4, a tenth after 60 % of the epochs."
)
NETWORKS = {
    "small": "Networks and settings are this library's defaults, not the paper's.",
    "paper-small": f"{RECIPE} The paper trained on all images, for 100 epochs.",
    "paper": RECIPE,
}
JPEG_SETS = ["CIFAR-10", "street-view characters", "Tiny ImageNet", "scenes"]
JPEG = (
    "The colour sets (CIFAR-10, street-view characters, Tiny ImageNet, scenes) are "
    "JPEG files of quality 90; the other sets are not."
)
# Table 1 of the paper's submission (VGG13, MSP), with its own set of the same kind.
PAPER = """\
| CIFAR-10 against | TNR at 95 % TPR | AUROC | detection accuracy |
|---|---|---|---|
| SVHN (seen by explicit) | 13.7 / 99.8 | 46.6 / 99.9 | 66.6 / 99.8 |
| Tiny ImageNet | 13.6 / 10.1 | 39.6 / 31.8 | 62.6 / 58.6 |
| LSUN | 14.0 / 10.8, joint 37.8 | 40.7 / 34.8 | 63.2 / 60.2 |
| Gaussian noise | 2.8 / 3.5 | 10.2 / 14.1 | 50.0 / 50.0 |"""


def is_seen(task, regime, name):
    """Return whether a regime trained on samples like those of an unknown set."""
    if regime == "explicit":
        return name in SEEN["explicit"][task]
    return "noise" in regime and name in SEEN["noise"]


def where(results, **which):
    """Return the results with these entries."""
    return [r for r in results if all(r[k] == v for k, v in which.items())]


def unknown_sets(results):
    """Return the names of the unknown sets in the results."""
    return list(results[0]["reports"]["msp"])


def aurocs(results, method):
    """Return the AUROCs by one method, (n_results, n_sets)."""
    return np.array(
        [[report["auroc"] for report in r["reports"][method].values()] for r in results]
    )


def to_markdown(results):
    """Return the report."""
    figure = []
    if where(results, split=None):
        figure = [
            "",
            "![Figure 1](figure1.png)",
            "",
            "[All trainings](figure1_all.png)",
        ]
    lines = [
        "# Figure 1 of the paper",
        "",
        "Written by `python benchmarks/figure1.py --data DIR`; its first lines say",
        "what is measured. Mean ± standard deviation over seeds.",
        f"Made with {made_with(results, 'device')}.",
        *figure,
    ]
    for preset in sorted({r["preset"] for r in results}, reverse=True):
        of_preset = where(results, preset=preset)
        trials = [r for r in of_preset if isinstance(r["split"], int)]
        for task in TITLES:
            runs = where(of_preset, task=task, split=None)
            own = where(trials, task=task)
            if runs or own:
                lines += ["", f"## {TITLES[task]}, {preset}"]
            if runs:
                lines += ["", *_sizes(runs), NETWORKS[preset], JPEG]
                lines += ["", "Accuracy on known samples.", "", *_accuracy(runs)]
                lines += _by_set(runs, task) + _by_method(runs) + _gap(runs, task)
            if own:
                lines += _choice(own)
            lines += _others(where(of_preset, task=task, split="others"))
            # A known set without stand-ins tries the choice made on the others.
            if runs and trials:
                lines += _chosen(own or trials, runs) + _post_hoc(runs)
    lines += ["", "## The paper's own figures", "", _CAVEAT, "", PAPER]
    return "\n".join(lines) + "\n"


_CAVEAT = """\
These are from table 1 of the submission: cross entropy / explicit with SVHN, in
percent, maximum class probability, VGG13, 50,000 images, 100 epochs. The result of the
joint loss is in the text, for LSUN only. The measurements above do not include SVHN and
LSUN; street-view characters and scenes are similar. The paper's AUROC and AUPR were
integrated on a grid that loses the samples whose probability rounds to 1 (an AUROC
below the detection accuracy is impossible; `confident_clf.metrics.legacy_grid` computes
them so). Its TNR is not affected."""


def _sizes(runs):
    """Return a line with the numbers of training images, epochs and test images."""
    report = runs[0]["reports"]["msp"]
    counts = ", ".join(f"{name} {r['n_out']}" for name, r in report.items())
    n_in = next(iter(report.values()))["n_in"]
    return [
        f"{runs[0]['n_train']} training images, {runs[0]['epochs']} epochs. Scored: "
        f"{n_in} known test images; unknown: {counts}.",
    ]


def _files(task, name):
    """Return what kind of files the images of a table are."""
    known, unknown = task != "fashion", name in JPEG_SETS
    if known and unknown:
        return " Known and unknown images are JPEG files of quality 90."
    if known:
        return " The known images are JPEG files of quality 90, the unknown are not."
    if unknown:
        return " The unknown images are JPEG files of quality 90, made grey."
    return ""


def _regimes(runs):
    """Return the regimes in the results, in the order of `COLORS`."""
    there = {r["regime"] for r in runs}
    return [*(name for name in COLORS if name in there), *sorted(there - COLORS.keys())]


def _accuracy(runs):
    """Return the table of accuracy, calibration and time."""
    rows = []
    for regime in _regimes(runs):
        of_regime = where(runs, regime=regime)
        seeds = " ".join(str(r["seed"]) for r in of_regime)
        cells = [
            mean_and_spread([r["accuracy"] for r in of_regime], 4),
            mean_and_spread([r["ece"] for r in of_regime]),
            mean_and_spread([r["seconds"] for r in of_regime], 0),
        ]
        rows.append([regime, seeds, *cells])
    return table(["training", "seeds", "accuracy", "ECE", "fit, s"], rows)


def _columns(runs):
    """Return the metrics of the tables; earlier results lack those on the grid."""
    reports = [report for r in runs for report in r["reports"]["msp"].values()]
    has_grid = all(ON_GRID.keys() <= report.keys() for report in reports)
    return METRICS | ON_GRID if has_grid else METRICS


def _by_set(runs, task):
    """Return a table for each unknown set, by the paper's score."""
    lines, columns = [], _columns(runs)
    for name in unknown_sets(runs):
        rows = []
        for regime in _regimes(runs):
            reports = [r["reports"]["msp"][name] for r in where(runs, regime=regime)]
            cells = [
                mean_and_spread([report[key] for report in reports]) for key in columns
            ]
            mark = " (seen)" if is_seen(task, regime, name) else ""
            rows.append([regime + mark, *cells])
        text = f"{name}, maximum class probability.{_files(task, name)}"
        lines += ["", text, ""]
        lines += table(["training", *columns.values()], rows)
    return lines


def _by_method(runs):
    """Return two tables of all scores: over all sets, and over sets of images."""
    regimes, names = _regimes(runs), unknown_sets(runs)
    is_image = [name not in SEEN["noise"] for name in names]
    lines = []
    for what, chosen in {
        "all sets": [True] * len(names),
        "sets of images": is_image,
    }.items():
        rows = []
        for method in runs[0]["reports"]:
            means = [_means(runs, regime, method)[chosen] for regime in regimes]
            rows.append([method, *(f"{m.mean():.3f}, {m.min():.3f}" for m in means)])
        text = f"AUROC by score, {what}: mean over unknown sets, and the worst of them."
        lines += ["", f"{text} {JPEG}", "", *table(["score", *regimes], rows)]
    return lines


def _means(runs, regime, method):
    """Return the mean AUROC over seeds of each unknown set."""
    return aurocs(where(runs, regime=regime), method).mean(axis=0)


def _gap(runs, task):
    """Return the table of how far sources close the gap from plain to explicit."""
    regimes = [r for r in _regimes(runs) if r not in ("cross entropy", "explicit")]
    if not {"cross entropy", "explicit"} <= {r["regime"] for r in runs}:
        return []
    plain, explicit = (
        _means(runs, regime, "msp") for regime in ("cross entropy", "explicit")
    )
    rows = []
    for i, name in enumerate(unknown_sets(runs)):
        if is_seen(task, "explicit", name):
            continue
        cells = []
        for regime in regimes:
            own = _means(runs, regime, "msp")[i]
            gap = explicit[i] - plain[i]
            cells.append(f"{(own - plain[i]) / gap:.0%}" if gap > 0.01 else "-")
        rows.append([name, f"{plain[i]:.3f}", f"{explicit[i]:.3f}", *cells])
    text = (
        "Share closed of the AUROC gap between cross entropy and explicit, on sets "
        "that explicit did not train on. A dash means that explicit is less than .01 "
        f"above cross entropy. {JPEG}"
    )
    header = ["unknown set", "cross entropy", "explicit", *regimes]
    return ["", text, "", *table(header, rows)]


def _choice(trials):
    """Return the table of the criterion for the choice."""
    regimes, methods = _regimes(trials), list(trials[0]["reports"])
    rows = []
    for method in methods:
        values = [_means(trials, regime, method).mean() for regime in regimes]
        rows.append([method, *(f"{value:.3f}" for value in values)])
    text = (
        "The criterion for the choice, without OOD data: mean AUROC over stand-ins "
        f"({', '.join(unknown_sets(trials))}) and splits of the training images. {JPEG}"
    )
    return ["", text, "", *table(["score", *regimes], rows)]


def _chosen(trials, runs):
    """Return a list of what the stand-ins choose, with its AUROC on unknown sets."""
    regimes, methods = _regimes(trials), list(trials[0]["reports"])
    pairs = [(regime, method) for regime in regimes for method in methods]
    chosen_on = " and ".join(TITLES[t] for t in TITLES if where(trials, task=t))
    lines = ["", f"Chosen by the stand-ins, {chosen_on}:", ""]
    for what, among in {
        "for the maximum class probability": [p for p in pairs if p[1] == "msp"],
        "of all": pairs,
        "for cross entropy": [p for p in pairs if p[0] == "cross entropy"],
    }.items():
        best = max(among, key=lambda pair: _means(trials, *pair).mean(), default=None)
        if best:
            lines.append(f"- best {what}: {', '.join(best)}.{_figures(runs, *best)}")
    return lines


def _figures(runs, regime, method):
    """Return a sentence on the AUROC of a combination on the unknown sets."""
    of_regime = where(runs, regime=regime)
    if not of_regime:
        return ""
    means = aurocs(of_regime, method).mean(axis=0)
    return (
        f" On the unknown sets: mean AUROC {means.mean():.3f}, worst {means.min():.3f}."
    )


def _post_hoc(runs):
    """Return a sentence on the best scores for cross entropy, known with hindsight."""
    if not where(runs, regime="cross entropy"):
        return []
    means = {m: _means(runs, "cross entropy", m) for m in runs[0]["reports"]}
    best = max(means, key=lambda m: means[m].mean())
    steady = max(means, key=lambda m: means[m].min())
    return [
        "",
        "For comparison, the best scores of the cross-entropy network, chosen with "
        "hindsight: "
        f"{best} has the highest mean, {means[best].mean():.3f} (worst "
        f"{means[best].min():.3f}); {steady} the highest worst, "
        f"{means[steady].min():.3f} (mean {means[steady].mean():.3f}).",
    ]


def _others(runs):
    """Return the table of the sets for --others."""
    if not runs:
        return []
    regimes = _regimes(runs)
    means = {(r, m): _means(runs, r, m) for r in regimes for m in runs[0]["reports"]}
    seeds = ", ".join(str(s) for s in sorted({r["seed"] for r in runs}))
    rows = [
        [regime, method, *(f"{x:.3f}" for x in values), f"{values.mean():.3f}"]
        for (regime, method), values in means.items()
    ]
    text = (
        "AUROC on other sets, which had no part in this choice (grey CIFAR-10 had one "
        f"in choosing the GAN's learning rate); seeds {seeds}. {JPEG}"
    )
    header = ["training", "score", *unknown_sets(runs), "mean"]
    return ["", text, "", *table(header, rows)]


def draw(results, out):
    """Draw figure1.png, the paper's four bars, and figure1_all.png, all trainings."""
    runs = where(results, split=None)
    of_paper = [run for run in runs if run["regime"] in OF_PAPER]
    with plt.rc_context({"font.size": 15}):
        for name, some in [("figure1", of_paper), ("figure1_all", runs)]:
            if some:
                _draw(some, out / f"{name}.png")


def _draw(runs, path):
    """Draw the bars of some trainings, a row for each preset and known set."""
    pairs = sorted({(r["preset"], r["task"]) for r in runs}, reverse=True)
    keys = list(METRICS)[:3]
    figure, axes = plt.subplots(
        len(pairs),
        len(keys),
        figsize=(20, 5 * len(pairs)),
        squeeze=False,
        layout="constrained",
    )
    for row, (preset, task) in zip(axes, pairs, strict=True):
        for ax, key in zip(row, keys, strict=True):
            _bars(ax, where(runs, preset=preset, task=task), task, key)
            ax.set_ylabel(METRICS[key])
        row[0].set_title(f"{TITLES[task]}, {preset}", loc="left")
    there = [name for name in COLORS if name in {r["regime"] for r in runs}]
    legend = [Patch(color=COLORS[name], label=name) for name in there]
    seen = {"facecolor": "grey", "edgecolor": "white", "hatch": "//"}
    legend.append(Patch(**seen, label="trained on samples of the kind"))
    figure.legend(handles=legend, ncols=min(5, len(legend)), loc="outside lower center")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _bars(ax, runs, task, key):
    """Draw a group of bars for each unknown set, at the maximum class probability."""
    regimes = [regime for regime in COLORS if regime in _regimes(runs)]
    names = unknown_sets(runs)
    for i, regime in enumerate(regimes):
        values = np.array(
            [
                [r["reports"]["msp"][name][key] for name in names]
                for r in where(runs, regime=regime)
            ]
        )
        x = np.arange(len(names)) + (i - (len(regimes) - 1) / 2) * 0.8 / len(regimes)
        bars = ax.bar(
            x,
            values.mean(axis=0),
            0.8 / len(regimes),
            yerr=values.std(axis=0, ddof=1) if len(values) > 1 else None,
            color=COLORS[regime],
            label=regime,
        )
        for bar, name in zip(bars, names, strict=True):
            if is_seen(task, regime, name):
                bar.set(hatch="//", edgecolor="white")
    labels = [name.replace(" ", "\n", 1) for name in names]
    ax.set_xticks(range(len(names)), labels, fontsize="x-small")
    ax.set_ylim(0, 1.02)
