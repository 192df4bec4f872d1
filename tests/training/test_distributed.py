# SPDX-License-Identifier: BSD-3-Clause
"""Training in several real processes, which talk by gloo."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from confident_clf import load
from confident_clf.distributed import data_parallel
from tests.training.distributed_worker import (
    SAME_NOISE,
    SOURCES,
    every_source,
    first_steps,
)

WORKER = Path(__file__).with_name("distributed_worker.py")
REPOSITORY = Path(__file__).parents[2]
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}  # two ranks cannot share one
PATH = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


def launch(case, n, folder):
    """Run a case in `n` processes; return their exit codes and what they print."""
    folder.mkdir(exist_ok=True)
    world = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1"}
    world |= {"MASTER_PORT": free_port(), "PYTHONPATH": PATH, **NO_GPU}
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, case, folder],
            env={**os.environ, **world, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(n)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def results_of(case, n, folder):
    """Return what each rank of a case saved."""
    codes, outputs = launch(case, n, folder)
    assert codes == [0] * n, outputs
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(n)]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return what both ranks of all cases that end well saved."""
    return results_of("together", 2, tmp_path_factory.mktemp("two") / "ranks")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Return the weights after the first steps of three ranks."""
    return results_of("first_steps", 3, tmp_path_factory.mktemp("three") / "ranks")


# The generator of one of the cases makes one point, so that z does not matter.
@pytest.mark.filterwarnings("ignore:The GAN did not converge")
@pytest.mark.parametrize(
    "ranks", ["two", pytest.param("three", marks=pytest.mark.slow)]
)
def test_the_first_steps_are_those_of_one_process(ranks, request):
    """Check the weights of all networks: parts of a batch weigh as they are large."""
    alone, ranks = first_steps(), request.getfixturevalue(ranks)
    for name in SAME_NOISE:
        for rank in ranks:
            np.testing.assert_allclose(rank[name], alone[name], atol=1e-5)
            np.testing.assert_array_equal(rank[name], ranks[0][name])


def test_every_source_learns(two):
    """Check that both ranks have one classifier, as accurate as that of one process."""
    alone = every_source()
    for name in alone:
        np.testing.assert_array_equal(two[0][name], two[1][name])
    for source in SOURCES:
        name = f"{source} accuracy"
        assert two[0][name] == pytest.approx(float(alone[name]), abs=0.04)


def test_every_rank_draws_its_own_noise(two):
    """Check that no number of one rank's noise is in the other's."""
    first, second = (rank["noise"] for rank in two)
    assert len(np.intersect1d(first, second)) < 0.01 * first.size  # float32 may agree


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("other data", "were given different data"),
        ("small batches", "A batch has 3 samples, too few for 2 processes"),
    ],
)
def test_what_is_refused(case, message, two):
    """Check the errors, which every rank gets."""
    assert all(message in str(rank[case]) for rank in two)


@pytest.mark.slow
def test_example(tmp_path):
    """Check the example with the line that its text says to start it by."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    output = subprocess.run(
        [*torchrun, REPOSITORY / "examples" / "train_distributed.py"],
        env={**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1", **NO_GPU},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert output.returncode == 0, output.stderr
    accuracy = re.search(r"^accuracy (0\.\d+)", output.stdout).group(1)
    assert float(accuracy) > 0.9 and output.stdout.count("accuracy") == 1
    assert load(tmp_path / "digits.safetensors").n_epochs_ == 20


def test_alone():
    """Check the error for a process that nobody else was started with."""
    with pytest.raises(RuntimeError, match=r"RANK, WORLD_SIZE is not set.*torchrun"):
        with data_parallel():
            pass


def test_a_rank_dies_and_fewer_go_on(tmp_path):
    """Check that the others end with an error, and that one process fewer resumes."""
    codes, outputs = launch("a_rank_dies", 3, tmp_path / "three")
    assert codes[1] == -9 and codes[0] != 0 and codes[2] != 0, outputs
    ranks = results_of("resumed", 2, tmp_path / "two")
    assert [int(rank["epochs"]) for rank in ranks] == [5, 5]
    np.testing.assert_array_equal(ranks[0]["weights"], ranks[1]["weights"])
