"""A profile: what signals say by the weights of their types."""

from hypothesis import given
from hypothesis import strategies as st

from models.events import Signal, Signals
from models.profiles import DEFAULT_WEIGHTS, NOTHING_KNOWN, ProfileItem, ProfileText, profile_of

WEIGHTS = {"view": 0.0, "click": 1.0, "purchase": 3.0, "dislike": -1.0}


def profile(*items: tuple[str, str, float], texts: tuple[tuple[str, str, float], ...] = ()):
    return profile_of(Signals([Signal(*one) for one in items], [Signal(*one) for one in texts]), WEIGHTS)


def test_nothing_is_nothing_known():
    assert profile() == NOTHING_KNOWN


def test_an_item_counts_once_with_its_largest_weight_and_its_newest_time():
    found = profile(("purchase", "a", 1.0), ("click", "b", 2.0), ("click", "a", 3.0))
    assert found.history == (ProfileItem("b", 1.0, 2.0), ProfileItem("a", 3.0, 3.0))


def test_a_dislike_takes_back_what_came_before_and_not_what_comes_after():
    assert profile(("purchase", "a", 1.0), ("dislike", "a", 2.0)).history == ()
    found = profile(("purchase", "a", 1.0), ("dislike", "a", 2.0), ("click", "a", 3.0))
    assert found.history == (ProfileItem("a", 1.0, 3.0),)


def test_seen_is_all_that_something_known_was_done_with():
    found = profile(("view", "a", 1.0), ("dislike", "b", 2.0), ("click", "c", 3.0), ("odd", "d", 4.0))
    assert found.seen == {"a", "b", "c"}
    assert [item.id for item in found.history] == ["c"]


def test_texts_written_in_favour_count_once_at_their_newest():
    texts = (("click", "x", 1.0), ("dislike", "y", 2.0), ("view", "z", 3.0), ("purchase", "x", 4.0))
    assert profile(texts=texts).texts == (ProfileText("x", 4.0),)


_KINDS = st.sampled_from([*WEIGHTS, "odd"])


@given(st.lists(st.tuples(_KINDS, st.sampled_from("abc"), st.integers(0, 9).map(float)), unique_by=lambda one: one[:2]))
def test_a_profile_is_what_its_definition_says(signals):
    ordered = sorted(signals, key=lambda one: one[2])
    found = profile(*ordered)
    for item in "abc":
        own = [one for one in ordered if one[1] == item]
        last_no = max((n for n, one in enumerate(own) if one[0] == "dislike"), default=-1)
        yes = [one for one in own[last_no + 1 :] if WEIGHTS.get(one[0], 0) > 0]
        entry = [one for one in found.history if one.id == item]
        assert len(entry) == bool(yes)
        if yes:
            assert entry == [ProfileItem(item, max(WEIGHTS[one[0]] for one in yes), yes[-1][2])]
        assert (item in found.seen) == any(one[0] in WEIGHTS for one in own)
    assert [item.time for item in found.history] == sorted(item.time for item in found.history)


def test_the_default_weights_say_what_their_names_do():
    assert DEFAULT_WEIGHTS["dislike"] < 0 < DEFAULT_WEIGHTS["view"] < DEFAULT_WEIGHTS["click"]
    assert max(DEFAULT_WEIGHTS.values()) == DEFAULT_WEIGHTS["purchase"]
