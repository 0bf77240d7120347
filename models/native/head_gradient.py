"""The feature head's loss on some pools and its gradient by the head's parameters, compiled: for fitting on a CPU."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.native.arrays import floats, pointer
from models.native.library import FFI, LIBRARY
from models.types import Rows, Vector

# In the library's order; those of a layer are (to, from).
_PARAMETERS = ("inner.weight", "inner.bias", "middle.weight", "middle.bias", "outer.weight", "linear")


class HeadPools:
    """Pools, laid out as the library reads them.

    Args:
        features: Standard, shape `(n_pools, size, n_features)`.
        wanted: Shares of the softmax, which sum to 1, shape `(n_pools, size)`.

    Raises:
        ValueError: They are of different pools.
    """

    def __init__(self, features: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
        self._n_pools, self._size, self._n_features = features.shape
        if wanted.shape != features.shape[:2]:
            raise ValueError(f"features of shape {features.shape}, wanted of {wanted.shape}")
        filled = -self._size % int(LIBRARY.POOL_STEP)
        # In place: padding a transposed copy would hold all of it three times.
        self._features = np.zeros((self._n_pools, self._n_features, self._size + filled), np.float32)
        self._features[..., : self._size] = features.transpose(0, 2, 1)
        self._wanted = np.pad(floats(wanted), ((0, 0), (0, filled)))

    def gradient(self, parameters: Mapping[str, Vector], pools: Rows) -> tuple[float, dict[str, Vector]]:
        """Returns the mean cross-entropy of what is wanted over each pool, and its derivatives.

        Args:
            parameters: By name, as `FeatureHead` keeps them.
            pools: Whose, shape `(n,)`.

        Raises:
            ValueError: A pool isn't there, or parameters are of other shapes.
        """
        if len(pools) == 0 or not (0 <= pools.min() <= pools.max() < self._n_pools):
            raise ValueError(f"pools {pools} of {self._n_pools}")
        hidden, n_features = parameters["inner.weight"].shape
        if n_features != self._n_features:
            raise ValueError(f"parameters for {n_features} features, pools have {self._n_features}")
        sizes = (hidden * n_features, hidden, hidden * hidden, hidden, hidden, n_features)
        for name, size in zip(_PARAMETERS, sizes, strict=True):
            if parameters[name].size != size:
                raise ValueError(f"{name} has {parameters[name].size} numbers, {size} are needed")
        flat = floats(np.concatenate([parameters[name].reshape(-1) for name in _PARAMETERS]))
        gradient, pools = np.zeros_like(flat), np.ascontiguousarray(pools, np.int64)
        fit = FFI.new("HeadFit *")
        fit.size, fit.n_features, fit.hidden = self._size, n_features, hidden
        fit.features, fit.wanted = pointer(self._features), pointer(self._wanted)
        fit.n_pools, fit.pools = len(pools), pointer(pools)
        fit.parameters, fit.gradient = pointer(flat), pointer(gradient)
        loss = float(LIBRARY.recall_head_gradient(fit)) / len(pools)
        gradient /= len(pools)
        each = np.split(gradient, np.cumsum(sizes)[:-1])
        return loss, {name: one.reshape(parameters[name].shape) for name, one in zip(_PARAMETERS, each, strict=True)}
