"""What every baseline promises, whichever it is."""

from dataclasses import replace

import numpy as np
import pytest

from models.training.baselines import all_baselines
from models.training.baselines.base import MAX_TRIALS, Baseline, tune
from models.training.interactions import Interactions
from models.training.split import Case
from tests.models.training.worlds import World

WORLD = World(n_users=60)
BASELINES = all_baselines(WORLD.item_texts, WORLD.user_texts, WORLD.item_times)
NOBODY = 59
SAID = next(iter(WORLD.user_texts))


@pytest.fixture(params=BASELINES, ids=lambda baseline: baseline.name)
def baseline(request: pytest.FixtureRequest) -> Baseline:
    return request.param


def cases_for(baseline: Baseline) -> list[Case]:
    """Everything that a user can be known by; those who are known by nothing are never asked about alone."""
    nothing = np.empty(0, np.int64)
    some = np.array([3, 17, 4])
    cases = [
        Case(NOBODY, "history", some, (), np.array([5]), is_new_user=True),
        Case(NOBODY, "history", some, (SAID,), np.array([5]), is_new_user=True),
        Case(NOBODY, "history", nothing, (), np.array([5]), is_new_user=True),
        Case(0, "history", np.array([1]), ("never seen before",), np.array([5]), is_new_user=False),
    ]
    if "text" in baseline.tasks:
        cases.append(Case(NOBODY, "text", nothing, (SAID,), np.array([5]), is_new_user=True))
    return cases


def scores(baseline: Baseline, past: Interactions, setting: int = 0, seed: int = 0) -> np.ndarray:
    fitted = baseline.fit(past, WORLD.encodings, baseline.settings[setting], seed=seed)
    return fitted(cases_for(baseline), baseline.decays[-1])


def past_of(interactions: Interactions) -> Interactions:
    """The first half of the time, in which user 59 has no event."""
    assert interactions.times is not None
    kept = (interactions.times < np.median(interactions.times)) & (interactions.users != NOBODY)
    return replace(
        interactions,
        users=interactions.users[kept],
        items=interactions.items[kept],
        times=interactions.times[kept],
        texts=tuple(interactions.texts[row] for row in np.flatnonzero(kept)) if interactions.texts else None,
    )


PAST = past_of(WORLD.interactions)


def test_it_scores_every_item_for_every_case_known_or_not(baseline: Baseline) -> None:
    for setting in range(len(baseline.settings)):
        found = scores(baseline, PAST, setting)
        assert found.shape == (len(cases_for(baseline)), WORLD.n_items)
        assert np.isfinite(found).all()


def test_a_seed_repeats(baseline: Baseline) -> None:
    np.testing.assert_array_equal(scores(baseline, PAST, seed=3), scores(baseline, PAST, seed=3))


def test_scores_of_a_case_do_not_depend_on_the_cases_beside_it(baseline: Baseline) -> None:
    fitted = baseline.fit(PAST, WORLD.encodings, baseline.settings[0], seed=0)
    together = fitted(cases_for(baseline), 1.0)
    for row, case in enumerate(cases_for(baseline)):
        np.testing.assert_allclose(fitted([case], 1.0)[0], together[row], rtol=1e-3, atol=1e-5)


def test_targets_are_not_looked_at(baseline: Baseline) -> None:
    fitted = baseline.fit(PAST, WORLD.encodings, baseline.settings[0], seed=0)
    cases = cases_for(baseline)
    others = [replace(case, targets=np.array([70, 71])) for case in cases]
    np.testing.assert_array_equal(fitted(cases, 1.0), fitted(others, 1.0))


def test_it_tries_no_more_settings_than_the_others_may(baseline: Baseline) -> None:
    assert len(baseline.settings) * len(baseline.decays) <= MAX_TRIALS


def test_tuning_answers_its_tasks_with_a_setting_of_its_own(baseline: Baseline) -> None:
    tuned = tune(baseline, PAST, WORLD.encodings)
    assert set(tuned) == set(baseline.tasks)
    for found in tuned.values():
        assert found.setting in list(baseline.settings)
        assert found.decay in baseline.decays
        assert 0 <= found.validation <= 1
        assert found.trials == len(baseline.settings) * len(baseline.decays)


def test_tuning_and_fitting_see_nothing_but_the_past(baseline: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what it is given to tune on, it fits trials on an earlier part, and the last fit on no more than all."""
    seen: list[Interactions] = []
    fit = type(baseline).fit

    def spy(self, past, encodings, setting, *, seed):
        seen.append(past)
        return fit(self, past, encodings, setting, seed=seed)

    monkeypatch.setattr(type(baseline), "fit", spy)
    tune(baseline, PAST, WORLD.encodings)
    assert PAST.times is not None
    latest = [past.times.max() for past in seen if past.times is not None]
    n_trials = len(baseline.settings)
    assert len(latest) in (n_trials + 1, n_trials + 2)  # one refit, or one a task
    assert max(latest[:n_trials]) < PAST.times.max()
    assert all(past is PAST for past in seen[n_trials:])


def test_without_order_nothing_decays(baseline: Baseline) -> None:
    world = World(n_users=60, ordered=False)
    for found in tune(baseline, world.interactions, world.encodings).values():
        assert found.decay == 1


def test_without_anything_to_validate_on_it_takes_the_middle_of_its_grid(baseline: Baseline) -> None:
    """Users with one event each."""
    assert PAST.times is not None
    _, first = np.unique(PAST.users, return_index=True)
    lonely = replace(
        PAST,
        users=PAST.users[first],
        items=PAST.items[first],
        times=PAST.times[first],
        texts=tuple(PAST.texts[row] for row in first) if PAST.texts else None,
    )
    tuned = tune(baseline, lonely, WORLD.encodings)
    assert set(tuned) == set(baseline.tasks)
    for found in tuned.values():
        assert (found.trials, found.validation) == (0, None)
        assert found.setting == baseline.settings[len(baseline.settings) // 2]
        assert np.isfinite(found.scores(cases_for(baseline))).all()
