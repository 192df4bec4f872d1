# SPDX-License-Identifier: BSD-3-Clause
"""Tests of noise: what each kind keeps of the data, and what it destroys."""

import re

import numpy as np
import pytest
import torch

from confident_clf.sources import NoiseOOD
from confident_clf.sources._noise import find_categories

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seed():
    """Make the draws repeatable."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def prepared(x, *args, **kwargs):
    """Return a source that has seen `x`."""
    source = NoiseOOD(*args, **kwargs)
    source.prepare(x, None, CPU)
    return source


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "low_frequency"])
def test_pixels_are_in_the_range_of_each_channel(kind):
    """Check range, shape, and that both halves of the range are used alike."""
    x = torch.rand(20, 2, 9, 11) * torch.tensor([4.0, 0.5])[:, None, None] - 2
    samples = prepared(x, [kind]).sample(400)
    assert samples.shape == (400, 2, 9, 11) and samples.dtype == torch.float32
    low, high = x.amin(dim=(0, 2, 3)), x.amax(dim=(0, 2, 3))
    assert (samples.amin(dim=(0, 2, 3)) >= low - 1e-5).all()
    assert (samples.amax(dim=(0, 2, 3)) <= high + 1e-5).all()
    middle = ((low + high) / 2)[:, None, None]
    share = (samples > middle).float().mean(dim=(0, 2, 3))
    torch.testing.assert_close(share, torch.full((2,), 0.5), atol=0.05, rtol=0)


def test_low_frequency_is_smooth():
    """Check that neighbours differ less than in independent noise."""
    x = torch.rand(4, 1, 28, 28)

    def roughness(kind):
        return prepared(x, [kind]).sample(50).diff(dim=3).abs().mean()

    assert roughness("low_frequency") < 0.3 * roughness("uniform")


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (28, 28)])
def test_patch_shuffled_moves_pixels_only(size):
    """Check that a sample has the pixels of a training image, mostly elsewhere."""
    x = torch.arange(3 * 2 * size[0] * size[1]).float().reshape(3, 2, *size)
    source = prepared(x, ["patch_shuffled"])
    moved = 0
    for _ in range(20):
        (sample,) = source.sample(1)
        image = next(i for i in x if i.min() == sample.min())
        assert torch.equal(sample.flatten(1).sort()[0], image.flatten(1).sort()[0])
        # All channels move together.
        assert torch.equal(sample[1] - sample[0], torch.full(size, size[0] * size[1]))
        moved += (sample != image).float().mean().item() / 20
    assert moved > 0.5
    assert torch.equal(source.rows_.sort(dim=0)[0], x)


def test_patches_stay_whole():
    """Check that neighbours inside a patch are neighbours after the shuffle."""
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    sample = prepared(x, ["patch_shuffled"]).sample(1)[0, 0]
    # 4x4, 2x2 (k=2, 4) or 2x2 (k=3, the last two lines fixed) patches hold pairs.
    assert (sample.diff(dim=1)[:, ::2][:6] == 1).all()


def test_permuted_keeps_marginals_and_breaks_dependence():
    """Check values, means and the correlation of two features that are equal."""
    x = torch.randn(500, 1).expand(500, 3).contiguous()
    samples = prepared(x, ["permuted"]).sample(4000)
    for j in range(3):
        assert np.isin(samples[:, j].numpy(), x[:, j].numpy()).all()
    torch.testing.assert_close(samples.mean(0), x.mean(0), atol=0.1, rtol=0)
    assert abs(np.corrcoef(samples.T.numpy())[0, 1]) < 0.1


def test_uniform_rows_fill_the_enlarged_box():
    """Check that the extremes are those of the box, half a range beyond the data."""
    x = torch.rand(100, 2) * torch.tensor([10.0, 1.0])
    samples = prepared(x, ["uniform"], enlarge=0.5).sample(20000)
    width = x.amax(0) - x.amin(0)
    low, high = x.amin(0) - 0.5 * width, x.amax(0) + 0.5 * width
    assert (samples >= low).all() and (samples <= high).all()
    assert ((samples.amin(0) - low) / width < 0.01).all()
    assert ((high - samples.amax(0)) / width < 0.01).all()


def test_all_kinds_take_turns():
    """Check that small batches hold all kinds equally often in the long run."""
    source = prepared(
        torch.full((5, 2), 7.0) + torch.arange(5)[:, None], ["permuted", "uniform"]
    )
    assert source.kinds_ == ("permuted", "uniform")
    whole = sum(
        int((source.sample(1) % 1 == 0).all()) for _ in range(400)
    )  # permuted rows are whole numbers
    assert 140 < whole < 260
    assert len(source.sample(7)) == 7


def one_hot_table(n=400):
    """Return rows of two numbers, a category of three levels and one of two."""
    numbers = torch.randn(n, 2)
    level = torch.eye(3)[torch.randint(3, (n,))]
    scaled = (level - level.mean(dim=0)) / level.std(dim=0)  # as after a scaler
    binary = torch.randint(2, (n, 1)).float() * 7 - 3
    return torch.cat([numbers, scaled, binary], dim=1)


def test_categories_are_found():
    """Check one-hot columns, a column of two values, and columns that only look so."""
    x = one_hot_table()
    assert find_categories(x) == [[2, 3, 4], [5]]
    # Two independent binary columns are not one category.
    x = torch.randint(2, (200, 3)).float()
    assert find_categories(x) == [[0], [1], [2]]
    assert find_categories(torch.randn(200, 3)) == []
    assert find_categories(torch.ones(50, 2)) == []
    # Of three rows, any numbers might have two values.
    assert find_categories(torch.tensor([[0.1], [0.2], [0.1]])) == []


@pytest.mark.parametrize("kind", ["permuted", "uniform", "replaced"])
def test_categories_stay_valid(kind):
    """Check that every sample has levels that occur, also after scaling."""
    x = one_hot_table()
    samples = prepared(x, [kind]).sample(500)
    known = {tuple(row) for row in x[:, 2:5].tolist()}
    assert {tuple(row) for row in samples[:, 2:5].tolist()} == known
    assert set(samples[:, 5].tolist()) == {-3.0, 4.0}


def test_given_categories():
    """Check that given columns move together though their values are numbers."""
    x = torch.randn(300, 4)
    samples = prepared(x, ["permuted"], categorical=[[1, 3]]).sample(500)
    pairs = {tuple(row) for row in x[:, [1, 3]].tolist()}
    assert {tuple(row) for row in samples[:, [1, 3]].tolist()} <= pairs
    others = {tuple(row) for row in x[:, [0, 2]].tolist()}
    assert len({tuple(row) for row in samples[:, [0, 2]].tolist()} - others) > 400


@pytest.mark.parametrize(
    "categorical", [[[0, 4]], [[0], [0]], [3], [[]], [[0.5]], [[-1]], [["a"]]]
)
def test_bad_categories(categorical):
    """Check that columns that do not exist, or come twice, are refused by value."""
    with pytest.raises(ValueError, match=re.escape(f"categorical={categorical!r}")):
        prepared(torch.rand(20, 4), categorical=categorical)


def test_replaced_changes_one_number():
    """Check that one number of a training row is uniform in the enlarged box."""
    x = torch.cat(
        [torch.rand(50, 3) * torch.tensor([1.0, 10.0, 100.0]), one_hot_table(50)], 1
    )
    x[:, 0] = 5.0  # constant: it cannot be replaced
    source = prepared(x, ["replaced"])
    samples = source.sample(3000)
    same = (samples[:, None, :] == x).sum(dim=2).max(dim=1)
    assert (same.values == x.shape[1] - 1).all()
    rows, columns = (samples != x[same.indices]).nonzero(as_tuple=True)
    assert set(columns.tolist()) == {1, 2, 3, 4}
    low, high = x.amin(dim=0), x.amax(dim=0)
    place = ((samples - low) / (high - low))[rows, columns]
    assert place.min() > -0.5 - 1e-5 and place.max() < 1.5 + 1e-5
    # Uniform on [-0.5, 1.5]: the mean of 3,000 draws is 0.5, give or take 0.01.
    assert abs(place.mean() - 0.5) < 0.05 and abs(place.std() - 2 / 12**0.5) < 0.03


def test_rows_of_categories_only():
    """Check that without numbers "replaced" mixes the categories of different rows."""
    x = torch.eye(3)[torch.randint(3, (60,))]
    samples = prepared(x, ["replaced"]).sample(90)
    assert (samples.sum(dim=1) == 1).all()


def test_constant_images():
    """Check that each image has one colour, and that a third is black or white."""
    low, high = torch.tensor([0.0, -1.0]), torch.tensor([1.0, 3.0])
    x = low[:, None, None] + (high - low)[:, None, None] * torch.rand(40, 2, 6, 7)
    x[0, :, 0, 0], x[0, :, 0, 1] = low, high
    samples = prepared(x, ["constant"]).sample(3000)
    assert (samples.flatten(2).std(dim=2) == 0).all()
    unit = (samples[:, :, 0, 0] - low) / (high - low)
    extreme = ((unit == 0) | (unit == 1)).all(dim=1).float().mean()
    assert abs(extreme - 1 / 3) < 0.05
    assert unit.min() >= 0 and unit.max() <= 1


def test_covered_images():
    """Check that 40 to 75 % from one side on have one colour; the rest is as it was."""
    x = torch.rand(30, 1, 20, 20) + torch.arange(30.0).reshape(-1, 1, 1, 1)
    sides = set()
    for sample in prepared(x, ["covered"]).sample(800)[:, 0]:
        values, counts = sample.flatten().unique(return_counts=True)
        has_colour = sample == values[counts.argmax()]
        rows, columns = has_colour.all(dim=1), has_colour.all(dim=0)
        covered = rows[:, None] | columns
        assert 0.35 <= covered.float().mean() <= 0.8
        image = x[(sample == x[:, 0]).sum(dim=(1, 2)).argmax(), 0]
        assert (sample[~covered] == image[~covered]).all()
        along = rows if rows.any() else columns
        assert along.int().diff().abs().sum() == 1  # one edge
        sides.add((bool(rows.any()), bool(along[0])))
    assert len(sides) == 4  # above, below, left and right


def test_bytes_become_unit_range():
    """Check that uint8 images give samples in [0, 1], of every kind."""
    x = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    x[0, 0, 0, :2] = torch.tensor([0, 255])
    samples = prepared(x).sample(64)
    assert samples.dtype == torch.float32
    assert samples.min() >= 0 and 0.9 < samples.max() <= 1


@pytest.mark.parametrize(
    ("kinds", "x", "message"),
    [
        (["permuted"], torch.rand(4, 1, 8, 8), "signals and volumes, out of 'uniform'"),
        (["patch_shuffled"], torch.rand(4, 3), "noise for rows, out of 'permuted'"),
        ([], torch.rand(4, 3), r"kinds=\[\] must name"),
    ],
)
def test_kinds_must_fit_the_data(kinds, x, message):
    """Check the message for kinds that there are not."""
    with pytest.raises(ValueError, match=message):
        prepared(x, kinds)
