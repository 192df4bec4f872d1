# SPDX-License-Identifier: BSD-3-Clause
"""Three sections of speed.py: `profile`, `gpu` and `compiled`.

`profile` shows where the time of a joint step goes, and how close the step comes to
the rate at which the machine multiplies matrices. `gpu` and `compiled` need a GPU.
"""

import statistics
import time
from functools import partial

import numpy as np
import torch
from loops import dcgan, epoch_of, images, plain_epoch, textbook
from timing import alternate, compare
from torch.profiler import ProfilerActivity, record_function

from confident_clf import ConfidentClassifier
from confident_clf._networks._trial import flop
from confident_clf._training._fit import train
from confident_clf.modules import VGG, DCDiscriminator, DCGenerator

SHAPE, WIDTH, BATCH = (3, 32, 32), 64, 64

# Kind of operation -> parts of its names in torch's profiler. The first match counts.
KINDS = {
    "convolution, backward": ("convolution_backward",),
    "convolution, forward": ("conv",),
    "BatchNorm": ("batch_norm",),
    "linear layers": ("addmm", "aten::mm"),
    "optimizer": ("fused_adam", "_foreach_add_"),
    "casts and copies": ("copy_", "reorder", "contiguous", "aten::cat"),
    "activations and pooling": ("relu", "sigmoid", "max_pool", "dropout", "threshold"),
}


def profile(args):
    """Profile a joint step of VGG13 and DCGAN; compare its rate with the machine's."""
    X, y = images(SHAPE, BATCH * args.steps)
    epoch = epoch_of(
        X,
        y,
        module=VGG,
        ood_source=dcgan(WIDTH)(),
        device=args.device,
        batch_size=BATCH,
    )
    net = epoch.args[0]
    for owner, method in (
        (net.source_, "_step_discriminator"),
        (net.source_, "_step_generator"),
        (net.source_, "_generate"),
        (net, "_step_classifier"),
    ):
        setattr(owner, method, _named(getattr(owner, method), method))
    epoch()
    activities = [ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        epoch()
    events = profiler.key_averages()
    rows = _shares("profile, operations", _by_kind(events))
    times = {event.key: event.cpu_time_total for event in events}
    players = {
        "the classifier, with its samples": times["_step_classifier"],
        "the generator": times["_step_generator"],
        "the discriminator": times["_step_discriminator"],
        "samples for both": times["_generate"] / 2,  # the rest is the classifier's
    }
    rows += _shares("profile, players", players)
    return rows + _roofline(args, net, epoch)


def _named(function, name):
    """Return the function under a name that the profiler shows."""

    def named(*args):
        with record_function(name):
            return function(*args)

    return named


def _by_kind(events):
    """Return the time spent in each kind of operation, without the calls it makes."""
    times = dict.fromkeys([*KINDS, "all else"], 0.0)
    for event in events:
        kinds = (k for k, parts in KINDS.items() if any(p in event.key for p in parts))
        times[next(kinds, "all else")] += event.self_cpu_time_total
    return times


def _shares(section, times):
    """Return a row for each share of the total, the largest first."""
    total = sum(times.values())
    return [
        {"section": section, "what": name, "median": 100 * time_ / total, "unit": "%"}
        for name, time_ in sorted(times.items(), key=lambda item: -item[1])
    ]


def step_flop(net, device):
    """Return the operations of each part of a joint step, and of a cross-entropy step.

    A backward pass counts twice a forward pass: gradients of weights and of inputs.
    Where only one of them is needed, it counts once. D sees real and fake samples, then
    fakes for G. C sees fakes for G, then real samples and fakes. G runs twice.
    """
    x = torch.zeros(BATCH, *SHAPE, device=device)
    z = torch.zeros(BATCH, 100, device=device)
    c, g, d = (
        flop(network, inputs)
        for network, inputs in (
            (net.module_, x),
            (net.source_.generator_, z),
            (net.source_.discriminator_, x),
        )
    )
    steps = {"discriminator": 6 * d + g, "generator": 2 * d + 2 * c + 2 * g}
    return steps | {"classifier": 6 * c + g}, 3 * c


def _roofline(args, net, epoch):
    """Return the operations of a step, its rate, and the rates of matrix products."""
    steps, cross_entropy = step_flop(net, args.device)
    total = sum(steps.values())
    rows = [
        {
            "section": "work of a step",
            "what": name,
            "median": value / 1e9,
            "unit": "GFLOP",
        }
        for name, value in {
            **steps,
            "joint, all": total,
            "cross entropy": cross_entropy,
        }.items()
    ]
    sides = {"a step": epoch}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(2048, 2048, device=args.device).to(dtype)
        sides[f"GEMM 2048, {dtype}".replace("torch.", "")] = partial(torch.mm, a, a)
    seconds = alternate(sides, args.repeats)
    for name, times in seconds.items():
        work = total * args.steps if name == "a step" else 2 * 2048**3
        rate = work / statistics.median(times) / 1e9
        rows.append(
            {"section": "rates", "what": name, "median": rate, "unit": "GFLOP/s"}
        )
    return rows


def gpu(args):
    """Time joint training of VGG13 and DCGAN; `--device cpu` tries the code."""
    X, y = images(SHAPE, BATCH * args.steps)
    plain = textbook(VGG, SHAPE, 10, WIDTH, args.device)
    ours = {"module": VGG, "batch_size": BATCH, "device": args.device}
    gan = dcgan(WIDTH)
    free = epoch_of(X, y, ood_source=gan(), **ours)
    sides = {
        "textbook, float32": plain_epoch(plain.step, X, y, BATCH, args.device),
        "ours, defaults": epoch_of(X, y, ood_source=gan(), **ours),
        "ours, float32": epoch_of(X, y, ood_source=gan(), precision="float32", **ours),
        "ours, not deterministic": partial(train, *free.args, **free.keywords),
        "ours, cross entropy": epoch_of(X, y, ood_source=None, **ours),
    }
    rows = compare("GPU, joint step", sides, args.repeats, "ms", args.steps)
    return rows + _whole_run(args)


def compiled(args):
    """Time joint training with and without torch.compile."""
    X, y = images(SHAPE, BATCH * args.steps)
    ours = {"module": VGG, "batch_size": BATCH, "device": args.device}
    gan = dcgan(WIDTH)
    sides = {
        "ours, defaults": epoch_of(X, y, ood_source=gan(), **ours),
        "ours, compiled": epoch_of(X, y, ood_source=gan(), compile=True, **ours),
    }
    return compare("GPU, compiled", sides, args.repeats, "ms", args.steps)


def _whole_run(args):
    """Estimate the paper's 100 epochs from two, and check the predictions."""
    X, y = images(SHAPE, args.rows)
    clf = ConfidentClassifier(
        VGG,
        ood_source="joint",
        method="msp",
        generator=partial(DCGenerator, width=WIDTH),
        discriminator=partial(DCDiscriminator, width=WIDTH),
        lr=2e-4,
        gan_lr=2e-4,
        lr_schedule="step",
        max_epochs=2,
        random_state=0,
        device=args.device,
    )
    start = time.perf_counter()
    clf.fit(X, y)
    whole, last = time.perf_counter() - start, clf.history_[-1]["dur"]
    minutes = (whole + 98 * last) / 60
    n = min(len(X), 5_000)
    together = clf.predict_proba(X[:n])
    alone = [0, 1, n // 2, n - 1]
    parts = [clf.predict_proba(X[i : i + 1]) for i in alone]
    parts += [clf.predict_proba(X[: n // 3])]
    same = np.array_equal(
        np.concatenate(parts), np.concatenate([together[alone], together[: n // 3]])
    )
    return [
        {
            "section": "GPU, whole run",
            "what": f"100 epochs of {args.rows:,} images, from the first two",
            "median": minutes,
            "unit": "min",
        },
        {
            "section": "GPU, whole run",
            "what": "predictions alone and in a batch equal to the bit (1: yes)",
            "median": float(same),
            "unit": "",
        },
    ]
