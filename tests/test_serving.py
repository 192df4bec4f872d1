# SPDX-License-Identifier: BSD-3-Clause
"""Tests of examples/serve.py, over HTTP: every answer is what decide says."""

import asyncio
import importlib.util
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from sklearn.datasets import load_digits

from confident_clf import ConfidentClassifier, OODDetector, load, save

EXAMPLE = Path(__file__).parents[1] / "examples" / "serve.py"
ROWS, LABELS = load_digits(return_X_y=True)
ROWS = ROWS / 16


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the path of a saved detector of a few digits."""
    clf = ConfidentClassifier(
        image_shape=(1, 8, 8),
        inference="fast",
        ood_source="noise",
        max_epochs=2,
        random_state=0,
    )
    X, y = ROWS[LABELS < 5][:300], LABELS[LABELS < 5][:300]
    detector = OODDetector(clf, target_tpr=0.8, random_state=0).fit(X, y)
    path = tmp_path_factory.mktemp("served") / "digits.safetensors"
    save(detector, path)
    return path


@pytest.fixture(scope="module")
def client(path):
    """Return a client of the example's application, served from a thread."""
    spec = importlib.util.spec_from_file_location("serve", EXAMPLE)
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    serve.MODEL = path
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(serve.app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    # The socket takes connections already. They are answered when the server is up.
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()
    listening.close()


def png(pixels):
    """Return an array of uint8 as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def post_png(client, body):
    """Return the response to a PNG file."""
    return client.post("/decide", content=body, headers={"Content-Type": "image/png"})


def assert_answers(answers, detector, X):
    """Check answers against decide, one sample at a time as the server does."""
    for answer, row in zip(answers, X, strict=True):
        decisions = detector.decide(row[None])
        assert answer["label"] == decisions.label[0]
        assert answer["accepted"] is bool(decisions.accepted[0])
        expected = [decisions.p_value[0], decisions.ood_score[0]]
        found = [answer["p_value"], answer["ood_score"]]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_rows_and_images(client, path):
    """Check a row as JSON, and the same sample as a picture, against decide."""
    detector, X = load(path), ROWS[300:310]
    answers = [client.post("/decide", json={"x": row}).json() for row in X.tolist()]
    assert_answers(answers, detector, X)
    pixels = np.rint(X * 255).astype(np.uint8)
    answers = [post_png(client, png(row.reshape(8, 8))).json() for row in pixels]
    assert_answers(answers, detector, pixels / 255)
    assert client.get("/health").json() == {"status": "ok"}


BAD = [
    ("{", "Expecting property name"),
    ("", "Expecting value"),
    ("\xff", "codec can't decode"),
    ("[" * 200_000, "recursion"),
    ("[0, 1]", r'{"x": [0, ...]}'),
    ('{"y": 1}', r'{"x": [0, ...]}'),
    ('{"x": [0, 1]}', "2 features, but ConfidentClassifier is expecting 64"),
    ('{"x": [[0], [1, 2]]}', "inhomogeneous"),
    ('{"x": 5}', "1D array"),
    ('{"x": {"a": 1}}', "dict"),
    ('{"x": ["cat"]}', "cat"),
    (f'{{"x": [{"NaN," * 63} 0]}}', "contains NaN"),
    (f'{{"x": [{"1e999," * 63} 0]}}', "contains infinity"),
    (f'{{"x": [{"null," * 63} 0]}}', "contains NaN"),
    (f'{{"x": [1{"0" * 400}{", 0" * 63}]}}', "too large"),
]


def test_bad_samples(client, path):
    """Check that what is not a sample is refused with its fault, and costs nothing."""
    for body, words in BAD:
        response = client.post("/decide", content=body.encode("latin-1"))
        assert response.status_code == 400, body[:50]
        assert words in response.json()["error"]
    large = png(np.zeros((8, 9), np.uint8))
    for body, words in [(large, "(9, 8)"), (b"GIF89a", "cannot identify")]:
        response = post_png(client, body)
        assert response.status_code == 400
        assert words in response.json()["error"]
    assert post_png(client, png(np.eye(8, dtype=np.uint8))[:40]).status_code == 400
    assert client.get("/decide").status_code == 405
    answer = client.post("/decide", json={"x": ROWS[0].tolist()}).json()
    assert_answers([answer], load(path), ROWS[:1])


def free_port():
    """Return a port that nobody uses at the moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url, process, log):
    """Wait until a server answers, at most two minutes."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            return httpx.get(f"{url}/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


async def post_all(url, bodies):
    """Return the responses to requests that are all sent at once, in their order."""
    async with httpx.AsyncClient(timeout=120) as client:
        posts = [client.post(f"{url}/decide", content=body) for body in bodies]
        return await asyncio.gather(*posts)


@pytest.mark.slow
def test_two_processes(tmp_path):
    """Check that a server of two processes trains, loses no request and ends.

    Every tenth of the 200 requests at once is a bad one.
    """
    url, log = f"http://127.0.0.1:{free_port()}", tmp_path / "log"
    path = tmp_path / "digits.safetensors"
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1])}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, EXAMPLE, "--port", url.rpartition(":")[2]],
            cwd=tmp_path,
            env={**environment, "MODEL": str(path)},
            stderr=stderr,
            stdout=stderr,
        )
    try:
        wait_for(url, process, log)
        X = ROWS[-200:]
        bodies = [httpx.Request("POST", url, json={"x": x}).content for x in X.tolist()]
        bodies[::10] = [b'{"x": [1]}'] * 20
        responses = asyncio.run(post_all(url, bodies))
        codes = [response.status_code for response in responses]
        assert codes == [400, *[200] * 9] * 20
        good = np.arange(200) % 10 > 0
        answers = [response.json() for response in np.array(responses)[good]]
        assert_answers(answers, load(path), X[good])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    words = log.read_text()
    assert code == 0, words
    assert words.count("Finished server process") == 2, words
