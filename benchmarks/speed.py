# SPDX-License-Identifier: BSD-3-Clause
"""Time training, prediction and metrics against plain loops and other libraries.

    python benchmarks/speed.py [--sections step price small predict ...] [--threads 2]
    python benchmarks/speed.py --sections gpu compiled --device cuda

The sides of every comparison take turns in one process; the tables give medians and
their ratios. A side is this library, another library, or a "textbook" loop written
plainly from the paper, with three optimizers and float32. The data are random numbers
or come with scikit-learn. Results go to docs/results/speed.json and speed.md; sections
that do not run keep their figures.
"""

import argparse
import subprocess
import sys
import warnings
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import skorch
import torch
from _report import RESULTS, machine, read, table, versions, write
from loops import Textbook, dcgan, epoch_of, images, plain_epoch, textbook
from machine import compiled, gpu, profile
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from timing import alternate, compare
from torch import nn
from torch.nn import functional as F

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, OODDetector
from confident_clf.metrics import ood_report
from confident_clf.modules import (
    MLP,
    VGG,
    MLPDiscriminator,
    MLPGenerator,
    SmallConvNet,
)

# --- steps of joint training ----------------------------------------------------------


def joint_step(args):
    """A step of VGG13 and DCGAN, batch 64, 3x32x32, against the textbook loop."""
    shape, n = (3, 32, 32), 64 * args.steps
    X, y = images(shape, n)
    plain = textbook(VGG, shape, 10, 64, args.device)
    gan = dcgan(64)
    ours = {"module": VGG, "batch_size": 64, "device": args.device}
    sides = {
        "textbook, float32": plain_epoch(plain.step, X, y, 64, args.device),
        "ours, defaults": epoch_of(X, y, ood_source=gan(), **ours),
        "ours, float32": epoch_of(X, y, ood_source=gan(), precision="float32", **ours),
    }
    return compare("joint step, VGG13 + DCGAN", sides, args.repeats, "ms", args.steps)


def joint_price(args):
    """A step of joint training against a step of cross entropy."""
    rows = []
    for name, module, shape, width in (
        ("VGG13 + DCGAN, 3x32x32", VGG, (3, 32, 32), 64),
        ("default networks, 1x28x28", None, (1, 28, 28), 32),
    ):
        X, y = images(shape, 64 * args.steps)
        gan = dcgan(width)
        ours = {"module": module, "device": args.device}
        plain = textbook(module or SmallConvNet, shape, 10, width, args.device)
        sides = {
            "cross entropy": epoch_of(X, y, ood_source=None, **ours),
            "joint": epoch_of(X, y, ood_source=gan(), **ours),
            "features": epoch_of(X, y, ood_source="features", **ours),
            "noise": epoch_of(X, y, ood_source="noise", **ours),
        }
        rows += compare(f"price, {name}", sides, args.repeats, "ms", args.steps)
        sides = {
            "textbook, cross entropy": plain_epoch(
                plain.step_cross_entropy, X, y, 64, args.device
            ),
            "textbook, joint": plain_epoch(plain.step, X, y, 64, args.device),
        }
        rows += compare(
            f"price, {name}, textbook", sides, args.repeats, "ms", args.steps
        )
    return rows


# --- small networks, where Python takes most of the time ------------------------------


def small(args):
    """20,000 rows of 20 features, MLP 64-64, batch 64, cross entropy, one thread."""
    torch.set_num_threads(1)
    X, y = make_classification(
        20_000, 20, n_informative=10, n_classes=5, random_state=0
    )
    X = X.astype(np.float32)
    module = partial(MLP, hidden=(64, 64))

    def hand_loop(**adam):
        network = module((20,), 5)
        optimizer = torch.optim.Adam(network.parameters(), **adam)
        x, labels = torch.from_numpy(X), torch.from_numpy(y)

        def epoch():
            for index in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(network(x[index]), labels[index]).backward()
                optimizer.step()

        return epoch

    net = skorch.NeuralNetClassifier(
        module((20,), 5),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        batch_size=64,
        max_epochs=1,
        train_split=None,
        verbose=0,
    ).initialize()
    mlp = MLPClassifier((64, 64), batch_size=64, max_iter=1)

    def scikit_learn():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mlp.partial_fit(X, y, classes=range(5))

    networks = module((20,), 5), MLPGenerator(100, (20,)), MLPDiscriminator((20,))
    plain = Textbook(*networks, beta=0.1, latent_dim=100, device="cpu")
    sides = {
        "hand-written loop, fused Adam": hand_loop(fused=True),
        "hand-written loop, Adam": hand_loop(),
        "skorch.NeuralNetClassifier": lambda: net.partial_fit(X, y),
        "scikit-learn's MLPClassifier": scikit_learn,
        "ours, cross entropy": epoch_of(X, y, module=module, ood_source=None),
        "ours, features": epoch_of(X, y, module=module, ood_source="features"),
        "ours, noise": epoch_of(X, y, module=module, ood_source="noise"),
        "textbook, joint": plain_epoch(plain.step, X, y, 64, "cpu"),
        "ours, joint": epoch_of(X, y, module=module),
    }
    rows = compare("small network, an epoch", sides, max(args.repeats, 7), "ms")
    torch.set_num_threads(args.threads)
    return rows


# --- prediction -----------------------------------------------------------------------


def bare(network, x, size):
    """Return a function that runs a network on all rows, in batches of this size."""

    def run():
        with torch.inference_mode():
            for rows in x.split(size):
                network(rows)

    return run


def predict(args):
    """Probabilities and scores of many rows and of one, against the bare network."""
    rows = []
    for name, X, y, params in (
        ("100,000 x 20, MLP", *_rows(100_000), {}),
        ("5,000 x 1x28x28", *_floats((1, 28, 28), 5_000), {}),
        ("1,000 x 3x32x32, VGG13", *_floats((3, 32, 32), 1_000), {"module": VGG}),
    ):
        clf = ConfidentClassifier(
            **params, ood_source=None, method="msp", max_epochs=1, device=args.device
        ).fit(X[:200], y[:200])
        network = clf.net_.module_.eval()
        x = torch.from_numpy(X).to(args.device)
        sides = {
            "bare network": bare(network, x, 256),
            "predict_proba": partial(clf.predict_proba, X),
        }
        for method in ("msp", "energy", "odin"):
            sides[f"ood_score, {method}"] = partial(clf.ood_score, X, method)
        rows += compare(f"predict, {name}", sides, args.repeats, "us", len(X))
        one = {
            "bare network": bare(network, x[:1], 1),
            "predict_proba": partial(clf.predict_proba, X[:1]),
        }
        rows += compare(f"predict, one of {name}", one, 50, "ms")
    return rows


def _rows(n):
    X, y = make_classification(n, 20, n_informative=10, n_classes=5, random_state=0)
    return X.astype(np.float32), y


def _floats(shape, n):
    X, y = images(shape, n)
    return X.astype(np.float32) / 255, y


# --- one sample, as a server gets it --------------------------------------------------

# name -> side of the images; None means our default networks
SERVED = {
    "resnet18": 224,
    "resnet50": 224,
    "mobilenet_v3_small": 224,
    "efficientnet_b0": 224,
    "convnext_tiny": 224,
    "vit_b_16": 224,
    "squeezenet1_1": 224,
    "shufflenet_v2_x0_5": 224,
    "default, 3x32x32": 32,
    "default, 20 features": None,
}


def serve(args):
    """One sample on one thread: our decision, the bare network, and pytorch-ood."""
    torch.set_num_threads(1)
    rows = []
    for name in args.networks:
        rows += serve_many(args) if name == "many rows" else serve_one(name, args)
    torch.set_num_threads(args.threads)
    return rows


def serve_one(name, args):
    """One sample through one network."""
    from pytorch_ood.detector import EnergyBased

    side = SERVED[name]
    module = None if name.startswith("default") else partial(_torchvision, name)
    X, _ = _rows(16) if side is None else _floats((3, side, side), 16)
    clf = ConfidentClassifier(
        module, ood_source=None, batch_size=8, max_epochs=1, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 16 samples in an epoch are few
        clf.fit(X, np.arange(16) % 2)
    fast, exact = (copy(clf).set_params(inference=i) for i in ("fast", "exact"))
    calibrated, to_pad = (
        OODDetector(FrozenEstimator(each), target_tpr=0.9).fit(X, np.arange(16) % 2)
        for each in (fast, exact)
    )
    network, one = clf.net_.module_.eval(), X[:1]
    x = torch.from_numpy(one)
    sides = {
        "bare network": bare(network, x, 1),
        "pytorch-ood, EnergyBased": partial(
            torch.inference_mode()(EnergyBased(network).predict), x
        ),
        "clf.predict, fast": partial(fast.predict, one),
        "detector.predict, fast": partial(calibrated.predict, one),
        "detector.decide, fast": partial(calibrated.decide, one),
    }
    rows = compare(f"serve, one of {name}", sides, 4 * args.repeats, "ms")
    sides = {
        "bare network": bare(network, x, 1),
        "detector.predict, exact": partial(to_pad.predict, one),
    }
    return rows + compare(f"serve, one of {name}, exact", sides, args.repeats, "ms")


def serve_many(args):
    """100,000 rows, against the bare network at its best batch size."""
    X, y = _rows(100_000)
    fast = ConfidentClassifier(
        ood_source=None, method="msp", max_epochs=1, inference="fast", random_state=0
    ).fit(X[:200], y[:200])
    exact = copy(fast).set_params(inference="exact")
    network, x = fast.net_.module_.eval(), torch.from_numpy(X)
    sizes = (256, 1024, 4096, 16384)
    times = alternate({n: bare(network, x, n) for n in sizes}, 5)
    best = min(sizes, key=lambda n: np.median(times[n]))
    sides = {
        f"bare network, batches of {best}": bare(network, x, best),
        "predict_proba, fast": partial(fast.predict_proba, X),
        "predict_proba, exact": partial(exact.predict_proba, X),
    }
    return compare("serve, 100,000 x 20", sides, 4 * args.repeats, "ms")


def _torchvision(name, input_shape, n_classes):
    import torchvision

    return getattr(torchvision.models, name)(num_classes=n_classes)


# --- memory, metrics, growth, searches ------------------------------------------------


def memory(args):
    """Peak memory of a process that fits on 50,000 uint8 images, in MiB."""
    code = """
import resource, numpy as np, torch
from confident_clf import ConfidentClassifier, ConfidentClassifierCV
torch.set_num_threads({threads})
X = np.random.default_rng(0).integers(0, 256, ({n}, 3, 32, 32), dtype=np.uint8)
clf = ConfidentClassifier(ood_source=None, method="msp", max_epochs=1)
clf.fit(X[:{fit}], np.arange({fit}) % 10)
clf.predict(X[:{predict}])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    # name -> number of images in memory, to fit on, to predict
    cases = {
        "networks and activations": (1_000, 1_000, 1),
        "fit on all": (50_000, 50_000, 1),
        "predict few": (50_000, 128, 1_000),
        "predict all": (50_000, 128, 50_000),
    }
    rows = []
    for name, (n, fit, predict) in cases.items():
        command = code.format(threads=args.threads, n=n, fit=fit, predict=predict)
        run = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=True
        )
        rows.append(
            {
                "section": "peak memory",
                "what": f"{name}; data {n * 3072 / 2**20:.0f} MiB",
                "median": float(run.stdout),
                "unit": "MiB",
            }
        )
    return rows


def metrics(args):
    """ood_report on n + n scores, against sorting them."""
    rows = []
    for n in (100_000, 1_000_000, 10_000_000):
        rng = np.random.default_rng(0)
        known, unknown = rng.normal(1, 1, n), rng.normal(0, 1, n)
        both = np.concatenate([known, unknown])
        sides = {
            "argsort of all scores": partial(np.argsort, both),
            "sort of each": lambda known=known, unknown=unknown: (
                np.sort(known),
                np.sort(unknown),
            ),
            "ood_report": partial(ood_report, known, unknown),
        }
        rows += compare(f"metrics, {n:,} + {n:,}", sides, min(args.repeats, 3))
    return rows


def growth(args):
    """Time of an epoch per 1,000 rows as the rows grow, and of the import."""
    rows = []
    sizes = (5_000, 20_000, 80_000)
    data = {n: _rows(n) for n in sizes}
    sides = {f"{n:,} rows": epoch_of(*data[n], ood_source="joint") for n in sizes}
    for row, n in zip(
        compare("growth, ms per 1,000 rows", sides, args.repeats, "ms"),
        sizes,
        strict=True,
    ):
        row["median"] *= 1000 / n
        row["best"] *= 1000 / n
        row["ratio"] *= sizes[0] / n
        rows.append(row)
    imports = {
        "torch, scikit-learn, skorch": "import torch, sklearn, skorch",
        "confident_clf": "import confident_clf",
    }
    sides = {
        name: partial(subprocess.run, [sys.executable, "-c", code], check=True)
        for name, code in imports.items()
    }
    return rows + compare("import", sides, args.repeats)


def search(args):
    """GridSearchCV over 6 betas and 3 folds on digits, with one and two processes."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    betas = {"beta": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]}
    clf = ConfidentClassifier(
        ood_source="joint",
        method="msp",
        image_shape=(1, 8, 8),
        max_epochs=5,
        random_state=0,
    )
    searches = {
        n_jobs: GridSearchCV(clf, betas, cv=3, n_jobs=n_jobs, refit=False)
        for n_jobs in (1, 2)
    }
    sides = {
        f"GridSearchCV, n_jobs={n}": partial(searches[n].fit, X, y) for n in searches
    }
    rows = compare("search, 6 betas x 3 folds", sides, min(args.repeats, 3))
    a, b = (s.cv_results_["mean_test_score"] for s in searches.values())
    rows[-1]["what"] += (
        " (scores equal)" if np.array_equal(a, b) else " (scores differ)"
    )
    return rows


def beta_search(args):
    """ConfidentClassifierCV, which scores eight betas, against one fit."""
    digits, labels = load_digits(return_X_y=True)
    digits = (digits / 16).astype(np.float32)
    as_images = {"image_shape": (1, 8, 8)}
    rows = []
    for name, X, y, params in (
        ("digits, 24 epochs", digits, labels, {"max_epochs": 24} | as_images),
        ("1,000 x 1x28x28, 8 epochs", *images((1, 28, 28), 1_000), {"max_epochs": 8}),
    ):
        clf = ConfidentClassifier(
            **params,
            ood_source="joint",
            method="msp",
            device=args.device,
            random_state=0,
        )
        search = ConfidentClassifierCV(clf, random_state=0)
        sides = {
            "a fit": partial(clf.fit, X, y),
            "ConfidentClassifierCV, 8 betas": partial(search.fit, X, y),
        }
        fit, both = compare(f"beta search, {name}", sides, min(args.repeats, 3))
        alone = dict(both, what="less its last fit, which is alike")
        for key in ("median", "best"):
            alone[key] -= fit[key]
        alone["ratio"] = alone["median"] / fit["median"]
        rows += [fit, both, alone]
    return rows


SECTIONS = {
    "step": joint_step,
    "price": joint_price,
    "small": small,
    "predict": predict,
    "serve": serve,
    "memory": memory,
    "metrics": metrics,
    "growth": growth,
    "search": search,
    "beta": beta_search,
    "profile": profile,
    "gpu": gpu,
    "compiled": compiled,
}


# --- the report -----------------------------------------------------------------------


def to_markdown(report):
    """Return the tables of all sections."""
    lines = [
        "# Speed",
        "",
        "Written by `python benchmarks/speed.py`. Medians; each ratio",
        "compares with the first line of its table.",
        "",
    ]
    for section in dict.fromkeys(row["section"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["section"] == section]
        made = ", ".join(f"{k} {v}" for k, v in rows[0]["environment"].items())
        cells = [
            [
                row["what"],
                f"{row['median']:.3g} {row['unit']}",
                *(f"{row[k]:.3g}" if k in row else "" for k in ("best", "ratio")),
            ]
            for row in rows
        ]
        lines += [f"## {section}", "", made, ""]
        lines += [*table(["", "median", "best", "ratio"], cells), ""]
    return "\n".join(lines)


def main():
    """Run the sections asked for; write JSON and Markdown after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--sections", nargs="+", default=list(SECTIONS)[:-2], choices=SECTIONS
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="batches in an epoch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=50_000, help="images, for gpu")
    names = [*SERVED, "many rows"]
    parser.add_argument(
        "--networks", nargs="+", default=names, choices=names, help="for serve"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    report = read(args.out, "speed") or {"rows": []}
    environment = machine(args.device, args.threads) | versions()
    for name in args.sections:
        rows = SECTIONS[name](args)
        for row in rows:
            row["environment"] = environment
            print({k: v for k, v in row.items() if k != "environment"}, flush=True)
        new = {row["section"] for row in rows}
        report["rows"] = [r for r in report["rows"] if r["section"] not in new] + rows
        write(args.out, "speed", report, to_markdown(report))


if __name__ == "__main__":
    main()
