# SPDX-License-Identifier: BSD-3-Clause
"""What to use on fixed embeddings: the head, the scaler and the score.

No network that was trained elsewhere is at hand, so these encoders stand in for CLIP,
DINO and models of sentences. None of them has seen the set that it embeds:

- a SmallConvNet, trained on one set of images; the embedding, of 256 numbers, is the
  input of its last layer;
- a PCA of pixels, fitted on the same images, with 128 numbers;
- for text, tf-idf and TruncatedSVD, fitted on docstrings of other packages, with 200
  numbers.

An encoder is made once. For every seed, 30 % of the classes are held out at random, and
2,000 rows of the others are trained on. A figure is the AUROC, or the share refused
when 95 % of the known ones are accepted, of known test rows against rows of the
held-out classes, or of another set.

The settings are chosen on embeddings of Fashion-MNIST, by the mean AUROC over encoders,
kinds and seeds. The figures to report come from other sets.

The results go to docs/results/embeddings.json and embeddings.md. Fits that are there
already do not run again.
"""

import argparse
import ast
import itertools
import sys
import time
import warnings
import zlib
from functools import cache, partial
from pathlib import Path

import numpy as np
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
from image_sets import grey, load
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from confident_clf import ConfidentClassifier
from confident_clf.metrics import tnr_at_tpr
from confident_clf.modules import SmallConvNet

HEADS = {
    "default": {},
    "linear": {"hidden": (), "ood_source": None},
}
SCALERS = {
    "as they are": FunctionTransformer,
    "Normalizer": Normalizer,
    "StandardScaler": StandardScaler,
}
METHODS = {
    "auto": "auto",
    "mahalanobis": "mahalanobis",
    "rmd": "rmd",
    "knn": "knn",
    "vim": "vim",
    "energy": "energy",
    "msp": "msp",
    "gen + knn": ["gen", "knn"],
    "mahalanobis + knn": ["mahalanobis", "knn"],
}
KINDS = ["held-out classes", "another set"]
DEFAULT = ("default", "as they are", "auto")
N_TRAIN, N_TEST = 2000, 1000
# Docstrings of these are known or held out; texts of the others fit the encoder.
PACKAGES = ["numpy", "scipy", "sklearn", "pandas", "matplotlib", "sympy", "networkx"]
OTHER_PACKAGES = ["torch", "joblib", "skorch"]


def flat(images) -> np.ndarray:
    """Return images as rows of floats from 0 to 1."""
    return images.reshape(len(images), -1) / np.float32(255)


def network(images, labels, epochs):
    """Return an encoder: the layers below the last of a net trained on these images."""
    clf = ConfidentClassifier(
        partial(SmallConvNet, hidden=256),
        ood_source=None,
        method="msp",
        max_epochs=epochs,
        random_state=0,
    ).fit(images, labels)
    layers = clf.net_.module_.features.eval()

    @torch.inference_mode()
    def encode(images):
        pieces = torch.from_numpy(images).split(500)
        return torch.cat([layers(piece / 255) for piece in pieces]).numpy()

    return encode


def pca(images):
    """Return an encoder: the first principal components of these images."""
    fitted = PCA(128, random_state=0).fit(flat(images))
    return lambda images: fitted.transform(flat(images))


def texts_of(folder: Path, n_files=250, least=200) -> tuple[list[str], list[str]]:
    """Return docstrings, and code of functions without a docstring, of a package."""
    files = sorted(
        p
        for p in folder.rglob("*.py")
        if not {"site-packages", "dist-packages"} & {*p.relative_to(folder).parts}
    )
    order = np.random.default_rng(0).permutation(len(files))[:n_files]
    prose, code = [], []
    for file in (files[i] for i in order):
        try:
            source = file.read_text()
            tree, rows = ast.parse(source), source.splitlines()
        except (UnicodeDecodeError, SyntaxError, ValueError):
            continue  # some packages have such files among their tests
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text, into = ast.get_docstring(node), prose
                if text is None:
                    of_node = rows[node.lineno - 1 : node.end_lineno]
                    text, into = "\n".join(of_node), code
                if len(text) >= least:
                    into.append(text[:2000])
    return prose, code


@cache
def docstrings():
    """Return embeddings of docstrings, their packages, and embeddings of code."""
    site = Path(np.__file__).parents[1]
    standard, code = texts_of(Path(ast.__file__).parent)
    others = [text for name in OTHER_PACKAGES for text in texts_of(site / name)[0]]
    encoder = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=3), TruncatedSVD(200, random_state=0)
    ).fit(standard + others)
    texts = {name: texts_of(site / name)[0] for name in PACKAGES}
    X = [encoder.transform(of) for of in texts.values()]
    y = np.repeat(PACKAGES, [len(of) for of in X])
    return np.concatenate(X), y, encoder.transform(code)


@cache
def images(data, name, limit):
    """Return the first images of a set, and their labels."""
    return load(data, name, limit)


@cache
def encoder(data, kind, name, limit, epochs, is_grey):
    """Return an encoder of this kind, made of one set."""
    X, y = images(data, name, limit)
    X = grey(X) if is_grey else X
    if kind == "network":
        return network(X, y, epochs)
    return pca(X)


def embedded(data, kind, made_of, known, other, is_grey=False):
    """Return embeddings of a set, its labels, and embeddings of another set."""
    encode = encoder(data, kind, *made_of, is_grey)
    X, y = images(data, known, 12_000)
    return encode(X), y, encode(images(data, other, N_TEST)[0])


CIFAR, TINY = ("cifar10_train", 10_000, 6), ("tinyimagenet_val", None, 10)
FASHION = {"made_of": CIFAR, "known": "fashion_mnist_train", "other": "mnist_test"}
CHOOSE = {
    "Fashion-MNIST, network of CIFAR-10 in grey": {"kind": "network", **FASHION},
    "Fashion-MNIST, PCA of CIFAR-10 in grey": {"kind": "pca", **FASHION},
}
OBJECTS = {"made_of": TINY, "known": "cifar10_test", "other": "streetview_chars"}
SCENES = {"made_of": CIFAR, "known": "intel_scenes_test", "other": "streetview_chars"}
REPORT = {
    "CIFAR-10, network of Tiny ImageNet": {"kind": "network", **OBJECTS},
    "CIFAR-10, PCA of Tiny ImageNet": {"kind": "pca", **OBJECTS},
    "scenes, network of CIFAR-10": {"kind": "network", **SCENES},
    "docstrings, tf-idf and SVD": None,
}


def load_task(data, name):
    """Return embeddings, labels, and embeddings of another set."""
    if name.startswith("docstrings"):
        return docstrings()
    task = {**CHOOSE, **REPORT}[name]
    return embedded(data, **task, is_grey=name in CHOOSE)


def split(X, y, other, name, seed):
    """Return rows to train on and to test on, with labels, and unknown rows by kind."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    classes = np.unique(y)
    held_out = rng.choice(classes, round(0.3 * len(classes)), replace=False)
    order = rng.permutation(len(X))
    is_unknown = np.isin(y[order], held_out)
    known, unknown = order[~is_unknown], order[is_unknown][:N_TEST]
    test = known[: min(N_TEST, len(known) // 3)]
    train = known[len(test) :][:N_TRAIN]
    sets = dict(zip(KINDS, (X[unknown], other[:N_TEST]), strict=True))
    return (X[train], y[train]), (X[test], y[test]), sets


def run(data, name, seed) -> list[dict]:
    """Return the figures of all settings on one set of embeddings with one seed."""
    (X, y), (X_test, y_test), sets = split(*load_task(data, name), name, seed)
    results = []
    for scaler, make in SCALERS.items():
        scale = make().fit(X)
        train, test = scale.transform(X), scale.transform(X_test)
        unknown = {kind: scale.transform(rows) for kind, rows in sets.items()}
        for head, params in HEADS.items():
            start = time.perf_counter()
            clf = ConfidentClassifier(**params, random_state=seed).fit(train, y)
            shared = {"task": name, "seed": seed, "head": head, "scaler": scaler}
            shared |= {"fit, s": time.perf_counter() - start, **versions()}
            shared["accuracy"] = clf.score(test, y_test)
            found = {}
            for method, value in METHODS.items():
                clf.set_params(method=value).fit_method(train, y)
                found[method] = figures(clf, test, unknown)
            results.append({**shared, "scores": found})
    return results


def figures(clf, test, unknown) -> dict:
    """Return AUROC and TNR at 95 % TPR for each kind of unknown rows."""
    known, result = clf.score_samples(test), {"auroc": {}, "tnr": {}}
    for kind, rows in unknown.items():
        scores = clf.score_samples(rows)
        is_known = np.repeat([1, 0], [len(known), len(scores)])
        result["auroc"][kind] = auroc_of(known, scores)
        result["tnr"][kind] = tnr_at_tpr(is_known, np.concatenate([known, scores]))
    return result


def by_seed(results, of, figure="auroc", tasks=None, kinds=KINDS) -> list[float]:
    """Return the mean of a setting's figure over tasks and kinds, for each seed."""
    head, scaler, method = of
    values = {}
    for result in _of(results, head, scaler):
        if tasks is None or result["task"] in tasks:
            found = [result["scores"][method][figure][kind] for kind in kinds]
            values.setdefault(result["seed"], []).extend(found)
    return [float(np.mean(v)) for _, v in sorted(values.items())]


def _of(results, head, scaler) -> list[dict]:
    """Return the results of a head and a scaler."""
    return [r for r in results if r["head"] == head and r["scaler"] == scaler]


def ranked(results) -> list[tuple[str, str, str]]:
    """Return the settings, the best on the sets to choose by first."""
    settings = itertools.product(HEADS, SCALERS, METHODS)
    return sorted(settings, key=lambda s: -np.mean(by_seed(results, s, tasks=CHOOSE)))


def best_of_heads(results) -> list[tuple[str, str, str]]:
    """Return the default, and the setting chosen for each head and each score."""
    order, found = ranked(results), [DEFAULT]
    for part, names in ((0, HEADS), (2, METHODS)):
        found += [next(s for s in order if s[part] == name) for name in names]
    return sorted(dict.fromkeys(found), key=order.index)


def of_settings(results, settings, tasks) -> list[str]:
    """Return a table of settings: AUROC and TNR over tasks, then AUROC of each."""
    rows = []
    for of in settings:
        row = [*of]
        for figure in ("auroc", "tnr"):
            for kind in KINDS:
                row.append(
                    mean_and_spread(by_seed(results, of, figure, tasks, [kind]), 3)
                )
        row += [f"{np.mean(by_seed(results, of, tasks=[t])):.3f}" for t in tasks]
        rows.append(row)
    header = ["head", "scaler", "score"]
    header += [f"{figure}, {kind}" for figure in ("AUROC", "TNR") for kind in KINDS]
    return table([*header, *tasks], rows)


def of_heads(results) -> list[str]:
    """Return the table of accuracy and time of each head and scaler."""
    rows = []
    for head in HEADS:
        for scaler in SCALERS:
            found = _of(results, head, scaler)
            accuracy = np.mean([r["accuracy"] for r in found if r["task"] in REPORT])
            seconds = np.median([r["fit, s"] for r in found])
            rows.append([head, scaler, f"{accuracy:.3f}", f"{seconds:.2f}"])
    return table(["head", "scaler", "accuracy", "fit, s (median)"], rows)


def to_markdown(results: list[dict]) -> str:
    """Return the report."""
    seeds = sorted({result["seed"] for result in results})
    order = ranked(results)
    lines = [
        "# Embeddings",
        "",
        "Written by `python benchmarks/embeddings.py --data DIR`; its first lines say "
        "what stands in for a pretrained encoder, and what is measured. Seeds "
        f"{seeds}; ± is the standard deviation of the means of the seeds. An encoder "
        "is made once, so its own luck is not in the spread. Made with "
        f"{made_with(results)}.",
        "",
        "## Chosen",
        "",
        f"Of {len(order)} settings, the mean AUROC on embeddings of Fashion-MNIST was "
        f"highest for: {', '.join(order[0])}. The default came in at place "
        f"{order.index(DEFAULT) + 1}. The table has the ten best, and the default. Two "
        "more heads were tried once, a linear one trained with noise and two hidden "
        "layers with cross entropy. On Fashion-MNIST neither was better than those "
        "here, and they are left out to save time.",
        "",
        *of_settings(results, dict.fromkeys([*order[:10], DEFAULT]), list(CHOOSE)),
        "",
        "## Reported",
        "",
        "Other sets. For each head and each score, the setting that was best on "
        "Fashion-MNIST, in the order of the choice; and the default.",
        "",
        *of_settings(results, best_of_heads(results), list(REPORT)),
        "",
        "## Every scaler",
        "",
        "The linear head, on the reported sets.",
        "",
        *of_settings(
            results,
            [("linear", s, m) for m in METHODS for s in SCALERS],
            list(REPORT),
        ),
        "",
        "## Accuracy and time",
        "",
        'Accuracy on the reported sets. The time includes the fit of the score "auto".',
        "",
        *of_heads(results),
        "",
    ]
    return "\n".join(lines)


def main(arguments=None):
    """Run the missing fits, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the image sets")
    parser.add_argument("--tasks", nargs="+", default=[*CHOOSE, *REPORT])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=type(RESULTS), default=RESULTS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the report shows what they warn of
    results = read(args.out, "embeddings")
    done = {(result["task"], result["seed"]) for result in results}
    for name in args.tasks:
        for seed in args.seeds:
            if (name, seed) in done:
                continue
            start = time.perf_counter()
            results += run(args.data, name, seed)
            print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s")
            sys.stdout.flush()
            write(args.out, "embeddings", results, "", one_a_line=True)
    write(args.out, "embeddings", results, to_markdown(results), one_a_line=True)


if __name__ == "__main__":
    main()
