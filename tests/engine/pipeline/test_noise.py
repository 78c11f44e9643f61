"""Noise by seed: the same numbers as the WebUI's sources, its variation and the tree of its SDE samplers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import NOISES
from engine.pipeline.noise import BrownianTree, Noise, philox, slerp, source

SHAPE = (1, 4, 8, 8)
CPU = torch.device("cpu")


def test_nv_is_what_an_nvidia_card_draws() -> None:
    """torch.randn(3, 4, device="cuda") after torch.manual_seed(0), as the WebUI's rng_philox prints it."""
    expected = [
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    assert source("NV", 0).draw((3, 4)).numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_philox_gives_the_words_of_its_authors() -> None:
    """Random123's known answers for philox4x32-10: counter and key all zeros."""
    first, second = philox(0, 0, 1)
    assert (int(first[0]), int(second[0])) == (0x6627E8D5, 0xE169C58D)


def test_philox_takes_all_64_bits_of_a_seed_and_counts_its_draws() -> None:
    """A seed plus its ENSD goes beyond 32 bits; the second draw is not the first."""
    assert not torch.equal(source("NV", 5).draw(SHAPE), source("NV", 5 + 2**32).draw(SHAPE))
    stream = source("NV", 5)
    assert not torch.equal(stream.draw(SHAPE), stream.draw(SHAPE))
    assert philox(5, 1, 4)[0].tolist() != philox(5, 0, 4)[0].tolist()


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_standard_normal(kind: str) -> None:
    """Mean 0 and spread 1, and nothing that is no number."""
    drawn = source(kind, 3).draw((200_000,))
    assert drawn.dtype == torch.float32
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01


def test_cpu_is_pytorchs_own_generator() -> None:
    """Bit for bit, the first draw and those after it."""
    noise, generator = Noise(7, SHAPE, CPU), torch.Generator().manual_seed(7)
    assert torch.equal(noise.first(), torch.randn(SHAPE, generator=generator))
    assert torch.equal(noise.next(), torch.randn(SHAPE, generator=generator))
    assert torch.equal(noise.next(), torch.randn(SHAPE, generator=generator))


@pytest.mark.parametrize("kind", NOISES)
def test_ensd_changes_the_later_draws_alone(kind: str) -> None:
    """They are those of seed + ENSD from the beginning."""
    plain, moved = Noise(7, SHAPE, CPU, kind=kind), Noise(7, SHAPE, CPU, kind=kind, ensd=31337)
    assert torch.equal(plain.first(), moved.first())
    assert torch.equal(moved.next(), source(kind, 7 + 31337).draw(SHAPE))


def test_a_variation_lies_on_the_arc_between_two_seeds() -> None:
    """Columns of a channel are the vectors: at half way each is as far from one end as from the other."""
    low, high = (source("CPU", seed).draw(SHAPE).double().numpy()[0] for seed in (7, 8))
    half = Noise(7, SHAPE, CPU, variation_seed=8, variation_strength=0.3).first().numpy()[0]
    for channel, column in ((0, 0), (3, 7)):
        a, b = low[channel, :, column], high[channel, :, column]
        angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        expected = (np.sin(0.7 * angle) * a + np.sin(0.3 * angle) * b) / np.sin(angle)
        assert half[channel, :, column] == pytest.approx(expected, abs=1e-5)


def test_the_ends_of_a_variation_are_the_seeds() -> None:
    """Strength 1 is the other seed; the seed itself as variation changes nothing and divides by no zero."""
    low, high = (source("CPU", seed).draw(SHAPE) for seed in (7, 8))
    assert torch.allclose(slerp(low, high, 1.0), high, atol=1e-5)
    assert torch.allclose(slerp(low, low, 0.5), low)
    assert torch.equal(Noise(7, SHAPE, CPU, variation_seed=8).first(), low)


def test_the_tree_is_torchsdes() -> None:
    """torchsde 0.2.6's BrownianTree(0.0292, zeros(2, 3), 14.6146, entropy=1234), asked as k-diffusion does."""
    tree = BrownianTree("CPU", 1234, (2, 3), 0.0292, 14.6146)
    expected = {
        (14.6146, 10.0): [-0.3748852, 0.9467736, 0.3120762, 0.7205456, -0.5421020, 0.9967387],
        (10.0, 2.5): [-0.3926919, -0.7571237, 0.2662547, 0.9421800, -0.1093862, 1.3369406],
        (2.5, 0.75): [0.2804395, 1.3095295, -1.2819022, 1.4755830, -0.7910407, -0.0252496],
        (0.75, 0.0292): [-1.7424252, -0.9244933, 1.3520395, 2.1783187, -1.5132198, -0.5008585],
    }
    for (start, end), values in expected.items():
        assert tree.normal(start, end).flatten().tolist() == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize("kind", NOISES)
def test_the_tree_is_one_path_however_it_is_asked(kind: str) -> None:
    """Two steps add up to the one over both, in any order and from a fresh tree."""
    one, other = (BrownianTree(kind, 9, SHAPE, 0.03, 14.0) for _ in range(2))
    whole = one.normal(10.0, 2.0) * 8**0.5
    parts = other.normal(5.0, 2.0) * 3**0.5 + other.normal(10.0, 5.0) * 5**0.5
    assert torch.allclose(whole, parts, atol=1e-5)


def test_the_trees_steps_are_standard_normal() -> None:
    """Over a long step and a short one."""
    tree = BrownianTree("CPU", 2, (100_000,), 0.03, 14.0)
    for start, end in ((14.0, 1.0), (1.0, 0.9)):
        assert abs(tree.normal(start, end).std() - 1) < 0.02
