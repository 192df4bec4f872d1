# SPDX-License-Identifier: BSD-3-Clause
"""Serve the decisions of a saved detector over HTTP, with Starlette and uvicorn.

    python examples/serve.py

trains a detector of digits if the file is not there yet, and serves it from two
processes. `--train` only trains. With a file of your own, any server for ASGI will do:

    MODEL=mine.safetensors uvicorn --app-dir examples --workers 2 serve:app

One sample is sent as JSON, or as the bytes of a PNG file of 8x8 pixels:

    curl -d '{"x": [0, 0.5, ...]}' localhost:8000/decide
    curl -H 'Content-Type: image/png' --data-binary @digit.png localhost:8000/decide

Needs `pip install ".[serve]"`.
"""

import argparse
import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image
from sklearn.datasets import load_digits
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from confident_clf import ConfidentClassifier, OODDetector, load, save

MODEL = Path(os.environ.get("MODEL", "digits.safetensors"))


def train():
    """Fit a detector of the digits 0 to 4, with pixels in [0, 1], and save it."""
    X, y = load_digits(return_X_y=True)
    # A server gets one sample at a time: it is not padded to a batch.
    clf = ConfidentClassifier(
        image_shape=(1, 8, 8), inference="fast", max_epochs=10, random_state=0
    )
    detector = OODDetector(clf, random_state=0).fit(X[y < 5] / 16, y[y < 5])
    save(detector, MODEL)


def read(body, content_type):
    """Return the sample in the body of a request, a list of 64 numbers."""
    if content_type == "image/png":
        image = Image.open(io.BytesIO(body), formats=["PNG"])
        if image.size != (8, 8):  # before anything is unpacked
            raise ValueError(f"The image has {image.size} pixels, and not (8, 8).")
        return (np.asarray(image.convert("L")) / 255).ravel().tolist()
    data = json.loads(body)
    if not isinstance(data, dict) or "x" not in data:
        raise ValueError('Send JSON with the numbers of one sample: {"x": [0, ...]}.')
    return data["x"]


def decision(detector, body, content_type):
    """Return what the detector says of the sample in the body of a request."""
    decisions = detector.decide([read(body, content_type)])
    return {name: values.item() for name, values in decisions._asdict().items()}


async def decide(request):
    """Answer with the decision, or with what is wrong with the sample."""
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    try:
        # In a thread: while the event loop computes, it answers nobody else, not even
        # a health check. One fitted detector may predict in many threads at once.
        answer = await run_in_threadpool(
            decision, request.app.state.detector, body, content_type
        )
    except (OSError, OverflowError, RecursionError, TypeError, ValueError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return JSONResponse(answer)


async def health(request):
    """Answer that the process has loaded its detector."""
    return JSONResponse({"status": "ok"})


@contextlib.asynccontextmanager
async def lifespan(app):
    """Load the detector once for each process, before the first request."""
    app.state.detector = load(MODEL)
    app.state.detector.decide([[0.0] * 64])  # the first decision takes longest
    yield


routes = [Route("/decide", decide, methods=["POST"]), Route("/health", health)]
app = Starlette(routes=routes, lifespan=lifespan)


def main():
    """Train if there is no file, and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="train and save, no more")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    if args.train or not MODEL.exists():
        train()
    if not args.train:
        # uvicorn starts new processes and does not fork, so a GPU works too. They
        # import torch, which may take longer than uvicorn waits by default.
        uvicorn.run(
            "serve:app",
            app_dir=os.path.dirname(__file__),
            port=args.port,
            workers=2,
            timeout_worker_healthcheck=60,
        )


if __name__ == "__main__":
    main()
