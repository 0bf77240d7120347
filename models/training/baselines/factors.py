"""iALS: matrix factorisation with all that wasn't consumed as weak negatives (Hu, Koren, Volinsky 2008)."""

from collections.abc import Sequence

from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from models.training.baselines.base import Kind, Scores, Setting, case_histories, consumed
from models.training.encodings import Encodings
from models.training.interactions import Interactions
from models.training.split import Case, Task
from models.types import Matrix


class ImplicitAls:
    """Factors of users and items; a new user's are solved from the history."""

    name = "iALS"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset({"history"})
    settings: Sequence[Setting] = tuple(
        {"factors": factors, "alpha": alpha, "regularization": regularization}
        for factors in (32, 64, 128)
        for alpha, regularization in ((30, 10), (80, 20))
    )
    decays: tuple[float, ...] = (1.0, 0.7)

    def fits(self, past: Interactions) -> bool:
        """Returns True."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns inner products of item factors and of user factors solved from histories."""
        with threadpool_limits(1, "blas"):  # implicit has threads of its own
            model = AlternatingLeastSquares(
                factors=int(setting["factors"]),
                alpha=setting["alpha"],
                regularization=setting["regularization"],
                random_state=seed,
            )
            model.fit(consumed(past, encodings.n_items), show_progress=False)

        def compute(cases: Sequence[Case], decay: float) -> Matrix:
            histories = case_histories(cases, encodings.n_items, decay)
            with threadpool_limits(1, "blas"):
                users = model.recalculate_user(range(len(cases)), histories)
            scores: Matrix = users @ model.item_factors.T
            return scores

        return compute
