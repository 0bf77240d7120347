import numpy as np

from models.training.popularity_bands import band_shares, bands_of


def test_bands_hold_their_share_of_the_catalogue() -> None:
    """Of 200 items, 100 have users: 2 are the top 1 %, 8 the next 4 %, 30 the next 15 %, 60 the rest."""
    popularity = np.zeros(200, np.float32)
    popularity[np.random.default_rng(0).permutation(200)[:100]] = np.arange(1, 101)
    bands = bands_of(popularity)
    assert np.bincount(bands).tolist() == [2, 8, 30, 60, 100]
    assert popularity[bands == 0].min() > popularity[bands == 1].max()


def test_shares_of_what_is_recalled() -> None:
    bands = bands_of(np.array([9, 1, 0], np.float32))
    shares = band_shares(bands, np.array([[0, 2], [0, -1]]))
    assert list(shares) == ["top 1 %", "next 4 %", "next 15 %", "the other 80 %", "no users yet"]
    assert list(shares.values()) == [2 / 3, 0, 0, 0, 1 / 3]


def test_nothing_recalled_has_no_shares() -> None:
    assert set(band_shares(bands_of(np.ones(3, np.float32)), np.array([[-1]])).values()) == {0.0}


def test_a_few_items_still_have_a_most_popular_one() -> None:
    assert bands_of(np.array([1, 2, 3], np.float32)).tolist() == [3, 3, 0]
