# SPDX-License-Identifier: BSD-3-Clause
"""What a newcomer runs first: the README's example and the demo."""

import re
import runpy
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from confident_clf import plotting

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def closed_figures():
    """Close the figures, which examples leave open for the gallery of the docs."""
    yield
    plt.close("all")


def first_example(path):
    """Return the first code on a page, and the output that the page shows."""
    page = (ROOT / path).read_text(encoding="utf-8")
    fences = r"```python\n(.*?)```\s+```\n(.*?)```"
    directives = r"code-block:: python\n(.*?)\n\.\. code-block:: none\n(.*?)\n(?=\S)"
    blocks = re.search(fences if path.endswith(".md") else directives, page, re.DOTALL)
    return [textwrap.dedent(block) for block in blocks.groups()]


@pytest.mark.parametrize("page", ["README.md", "docs/index.rst"])
def test_first_example(page, capsys):
    """Check that the first example prints what the page says it prints."""
    code, output = first_example(page)
    exec(compile(code, page, "exec"), {})
    printed = capsys.readouterr().out

    def numbers(text):
        return [float(number) for number in re.findall(r"\d\.\d+", text)]

    accuracy, accepted, refused = numbers(printed)
    assert [accuracy, accepted] == pytest.approx(numbers(output)[:2], abs=0.04)
    assert refused > 0.6  # the README names the range
    assert re.findall(r"[a-z ]+", printed) == re.findall(r"[a-z ]+", output)


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    """Check the demo with one seed: its ranking of the regimes, table and pictures."""
    demo = runpy.run_path(str(ROOT / "examples" / "plot_digits.py"))
    main = demo["main"]
    main.__globals__.update(OUTPUT=tmp_path, SEEDS=[0, 1])
    main()
    rows = re.findall(
        r"^(cross entropy|joint|explicit) +(.*)", capsys.readouterr().out, re.MULTILINE
    )
    means = {
        name: np.array(re.findall(r"(\d\.\d+) ±", cells), float) for name, cells in rows
    }
    assert all(mean[0] > 0.98 for mean in means.values())  # accuracy
    assert means["explicit"][1] > 0.99 > means["cross entropy"][1]  # AUROC
    for name in ("histograms.png", "boundary_samples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_far_away(tmp_path, capsys):
    """Check the table of the second example: sure far away, unless it rejects."""
    example = runpy.run_path(str(ROOT / "examples" / "plot_far_away.py"))
    main = example["main"]
    main.__globals__.update(OUTPUT=tmp_path, SEEDS=[0])
    main()
    out = capsys.readouterr().out
    at_1000 = dict(re.findall(r"^(\w+) .* (\d\.\d+) ± \d\.\d+$", out, re.MULTILINE))
    assert float(at_1000["uniform"]) > 0.9 and float(at_1000["reject"]) < 0.1
    assert (tmp_path / "far_away.png").read_bytes().startswith(b"\x89PNG")


def run_example(name, tmp_path, **changes):
    """Run an example's main, with some of its globals changed."""
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]
    main.__globals__.update(OUTPUT=tmp_path, **changes)
    main()


def test_guarantee(tmp_path, capsys):
    """Check that both tables of the example keep what its text promises."""
    run_example("plot_guarantee", tmp_path, N_DRAWS=100)
    out = capsys.readouterr().out
    means = re.findall(r"^ +\d+ +(0\.\d+) +0\.\d+$", out, re.MULTILINE)
    assert len(means) == 3 and min(map(float, means)) > 0.94
    counts = dict(re.findall(r"^(threshold|fdr=0.1) +(\d+ +\d+)$", out, re.MULTILINE))
    n_refused, n_known = map(int, counts["fdr=0.1"].split())
    assert n_known / n_refused < 0.15 and n_refused - n_known > 90
    n_refused, n_known = map(int, counts["threshold"].split())
    assert n_known / n_refused > 0.2
    assert (tmp_path / "guarantee.png").read_bytes().startswith(b"\x89PNG")


def test_open_set(tmp_path, capsys):
    """Check the table of the open-set example: known kept, unknown refused."""
    run_example("plot_open_set", tmp_path)
    out = capsys.readouterr().out
    rows = re.findall(r"^([a-zA-Z ]+?) +(0\.\d+) +(0\.\d+)$", out, re.MULTILINE)
    table = {name: (float(forest), float(net)) for name, forest, net in rows}
    assert min(table["known given a class"]) > 0.9
    assert table["unknown refused"][0] > 0.6 and table["unknown refused"][1] > 0.75
    assert min(table["OSCR"]) > 0.9 and max(table["AURC"]) < 0.25
    assert (tmp_path / "open_set.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_choose_beta(tmp_path, capsys):
    """Check that held-out classes rank two values of beta as unknown digits do."""
    run_example("plot_choose_beta", tmp_path, BETAS=[0.0, 1.0])
    out = capsys.readouterr().out
    assert re.search(r"picked beta=1.0, regret 0.000 AUROC", out)
    assert "ConfidentClassifierCV: beta=1.0, regret 0.000 AUROC" in out
    assert (tmp_path / "choose_beta.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_scores(tmp_path, capsys):
    """Check the table of the third example: noise costs ViM the noise, KNN nothing."""
    example = runpy.run_path(str(ROOT / "examples" / "plot_scores.py"))
    main = example["main"]
    main.__globals__.update(OUTPUT=tmp_path, SEEDS=[0])
    main()
    rows = re.findall(r"^(\w+) +([\d. ]+)$", capsys.readouterr().out, re.MULTILINE)
    aurocs = {method: np.array(cells.split(), float) for method, cells in rows}
    assert list(aurocs) == example["SCORES"]
    assert (np.array(list(aurocs.values()))[:, :3] > 0.95).all()
    assert aurocs["vim"][3] < 0.9 < 0.99 < min(aurocs["knn"][3], aurocs["msp"][3])
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_trained_network(tmp_path, capsys):
    """Check the scores of a network of plain torch, and that its last layer learns."""
    run_example("plot_trained_network", tmp_path)
    out = capsys.readouterr().out
    areas = dict(re.findall(r"^(\w+) +(\d\.\d+)$", out, re.MULTILINE))
    assert float(areas["knn"]) > 0.95 > float(areas["msp"]) > 0.8
    assert float(re.search(r"alone: (\d\.\d+)", out)[1]) > 0.85
    assert (tmp_path / "trained_network.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_accepted_refused(tmp_path, capsys):
    """Check the shares that the caption of the picture on the front page names."""
    run_example("plot_accepted_refused", tmp_path)
    known, unknown = re.findall(r": (\d+)% accepted", capsys.readouterr().out)
    assert int(known) > 90 and int(unknown) < 30
    assert (tmp_path / "accepted_refused.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_displays(tmp_path, monkeypatch):
    """Check that the example draws every public display, and saves the pictures."""
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(ROOT / "examples/plot_displays.py"), run_name="__main__")
    assert set(plotting.__all__) <= names.keys()
    pictures = list((tmp_path / "output").glob("display_*.png"))
    assert len(pictures) == 10
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


@pytest.mark.slow
def test_image_folder(tmp_path, capsys):
    """Check that files are read, told apart, and that photographs are refused."""
    run_example("plot_image_folder", tmp_path)
    right, accepted, refused = re.findall(r"(\d+)%", capsys.readouterr().out)
    assert int(right) > 95 and int(accepted) > 88 and int(refused) > 95
    assert (tmp_path / "image_folder.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_text(tmp_path, capsys):
    """Check that most docstrings of torch are refused."""
    run_example("plot_text", tmp_path)
    right, accepted, refused = re.findall(r"(\d+)%", capsys.readouterr().out)
    assert int(right) > 95 and int(accepted) > 85 and int(refused) > 65
    assert (tmp_path / "text.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_embeddings(tmp_path, capsys):
    """Check that scores of features tell more than those of a linear head's logits."""
    run_example("plot_embeddings", tmp_path)
    rows = re.findall(r"^(.*\S) +(\d\.\d+)$", capsys.readouterr().out, re.MULTILINE)
    areas = {name: float(area) for name, area in rows}
    assert min(areas["linear, knn"], areas["linear, mahalanobis"]) > 0.9
    assert areas["linear, mahalanobis, knn"] > 0.95
    assert max(areas["linear, msp"], areas["linear, energy"]) < 0.9
    assert (tmp_path / "embeddings.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_rare_classes(tmp_path, capsys):
    """Check that weights find the rare class, and its own threshold accepts it."""
    run_example("plot_rare_classes", tmp_path)
    figures = re.findall(r"recall (\S+), accepted (\S+)", capsys.readouterr().out)
    plain, balanced, per_class = np.array(figures, dtype=float)
    assert plain[0] < 0.4 and balanced[0] > 0.65
    assert balanced[1] < 0.65 and per_class[1] > 0.75
    assert (tmp_path / "rare_classes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_stream(tmp_path, capsys):
    """Check that known rows that move are refused, unless the detector goes on."""
    run_example("plot_stream", tmp_path)
    figures = re.findall(r"known accepted (0\.\d+), unk", capsys.readouterr().out)
    fitted_once, goes_on = np.array(figures, dtype=float)
    assert fitted_once < 0.9 and goes_on > 0.94
    assert (tmp_path / "stream.png").read_bytes().startswith(b"\x89PNG")
