# SPDX-License-Identifier: BSD-3-Clause
"""The five things that people come for are near the first page, and run.

The code of the pages runs as it stands: pytest takes each page as a doctest, in a
folder of its own (docs/conftest.py). Here is what a doctest does not see.
"""

import asyncio
import doctest
import re
import textwrap
from pathlib import Path

import httpx
import pytest
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[1]
# A page of the guide, and the line of its code with which the reader is done.
DONE = {
    "tables": "unknown = new[~decisions.accepted]",
    "images": "detector.predict([flower, china])",
    "trained_network": "clf.ood_score(X[:2]).shape",
    "choosing_beta": 'search.best_params_["method"]',
    "onnx": "app = Starlette(routes=",
}
# What the first pages have in front of the name of a page.
LINKS = {"docs/index.rst": ":link: guide/{}\n", "README.md": "(docs/guide/{}.rst)"}


def up_to(path, mark):
    """Return the text of a file up to the end of the line with a mark."""
    before, found, after = (ROOT / path).read_text().partition(mark)
    assert found, f"{path} has no {mark!r}"
    return before + found + after.partition("\n")[0]


@pytest.mark.parametrize("first", LINKS)
@pytest.mark.parametrize("page", DONE)
def test_two_minutes(first, page):
    """Check that all there is to read, code too, is two minutes of 240 words."""
    link = LINKS[first].format(page)
    path = up_to(first, link) + up_to(f"docs/guide/{page}.rst", DONE[page])
    words = re.findall(r"\w\S*", path)
    assert 100 < len(words) <= 480


def test_the_server_answers(tmp_path, monkeypatch):
    """Check that the file and the server of the page on ONNX work together."""
    monkeypatch.chdir(tmp_path)
    page = up_to("docs/guide/onnx.rst", DONE["onnx"])
    names = {}
    for example in doctest.DocTestParser().get_examples(page):
        exec(example.source, names)
    server = textwrap.dedent(page.partition(".. code-block:: python\n")[2])
    exec(server, names)

    async def post():
        transport = httpx.ASGITransport(names["app"])
        samples = Path("samples.json").read_bytes()
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.post("http://x/decide", content=samples)).json()

    expected = names["detector"].decide(load_digits(n_class=5).data[700:702])
    answer = asyncio.run(post())
    assert answer["label"] == expected.label.tolist()
    assert answer["accepted"] == expected.accepted.tolist()
    assert answer["p_value"] == pytest.approx(expected.p_value, abs=1e-6)
