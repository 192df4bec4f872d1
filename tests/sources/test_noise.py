# SPDX-License-Identifier: BSD-3-Clause
"""Tests of noise: what each kind keeps of the data, and what it destroys."""

import numpy as np
import pytest
import torch

from confident_clf.sources import NoiseOOD

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
    source = prepared(torch.full((5, 2), 7.0) + torch.arange(5)[:, None])
    assert source.kinds_ == ("permuted", "uniform")
    whole = sum(
        int((source.sample(1) % 1 == 0).all()) for _ in range(400)
    )  # permuted rows are whole numbers
    assert 140 < whole < 260
    assert len(source.sample(7)) == 7


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
