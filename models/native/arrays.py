"""Arrays as the compiled library reads them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.native.library import FFI, LIBRARY
from models.types import Matrix

_BLOCKS = 256
_NEAR_ZERO = 1e-30
_LINE = 64  # bytes of a cache line
_KINDS = {
    np.dtype(kind): FFI.typeof(f"{name}[]")
    for kind, name in (
        (np.float32, "float"),
        (np.float16, "char"),
        (np.int8, "int8_t"),
        (np.uint8, "uint8_t"),
        (np.uint16, "uint16_t"),
        (np.int32, "int32_t"),
        (np.int64, "int64_t"),
        (np.bool_, "uint8_t"),
    )
}


def pointer(array: NDArray[Any]) -> Any:  # noqa: ANN401  # cffi's pointers have no type
    """Returns where an array begins whose rows lie one after the other; a struct that it is put into doesn't keep it.

    Raises:
        KeyError: No function of the library reads values of that type.
        ValueError: The array's rows lie apart.
    """
    return FFI.from_buffer(_KINDS[array.dtype], array)


def floats(values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the values as the library reads them; a copy only where they aren't so already."""
    return np.ascontiguousarray(values, np.float32)


def aligned(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Returns zeros that begin where a cache line does: wide registers that straddle two lines are filled twice."""
    n_bytes = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.zeros(n_bytes + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + n_bytes].view(kind).reshape(shape)


def halves(values: NDArray[Any]) -> NDArray[np.float16]:
    """Returns weights in half the bytes."""
    weights = aligned(values.shape, np.float16)
    weights[...] = values
    return weights


class Kept:
    """Arrays that a struct points into: whoever keeps the struct keeps this, too."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []
        self._structs: list[Any] = []

    def any(self, values: NDArray[Any], kind: type[np.generic]) -> Any:  # noqa: ANN401  # cffi's pointers have no type
        """Returns where values begin, as the library reads them: a copy only where they aren't so already."""
        self._arrays.append(np.ascontiguousarray(values, kind))
        return pointer(self._arrays[-1])

    def floats(self, values: NDArray[Any]) -> Any:  # noqa: ANN401  # cffi's pointers have no type
        """Returns where values begin."""
        return self.any(values, np.float32)

    def halves(self, values: NDArray[Any]) -> Any:  # noqa: ANN401  # cffi's pointers have no type
        """Returns where weights in half the bytes begin."""
        return self.any(halves(values), np.float16)

    def struct(self, struct: Any) -> Any:  # noqa: ANN401  # cffi's structs have no type
        """Returns a struct that another one points to."""
        self._structs.append(struct)
        return struct

    def fill(
        self,
        tensors: Mapping[str, NDArray[Any]],
        name: str,
        struct: Any,  # noqa: ANN401  # cffi's structs have no type
    ) -> None:
        """Points a layer or an affine map at its tensors."""
        weights = self.halves if FFI.typeof(struct).cname == "Layer" else self.floats
        struct.weight, struct.bias = weights(tensors[f"{name}.weight"]), self.floats(tensors[f"{name}.bias"])


class Rounded:
    """Rows rounded to int8, each by a factor of its own, and packed as native.h says.

    Args:
        rows: Shape `(n, width)`.
    """

    def __init__(self, rows: Matrix) -> None:
        self._shape = n, width = rows.shape
        together: int = LIBRARY.PACKED_ROWS
        self._packed = aligned((-(-n // together), -(-width // 2), together, 2), np.int8)
        self._factors: NDArray[np.float32] = np.empty(n, np.float32)
        step = _BLOCKS * together
        for start in range(0, n, step):  # many rows at once would be in memory three times
            piece = rows[start : start + step]
            top = np.abs(piece).max(axis=1, initial=0)
            factors = np.where(top > _NEAR_ZERO, top / 127, 1).astype(np.float32)
            self._factors[start : start + step] = factors
            blocks = self._packed[start // together : start // together + _BLOCKS]
            rounded = np.zeros((len(blocks) * together, blocks.shape[1] * 2), np.int8)
            rounded[: len(piece), :width] = np.rint(piece / factors[:, None])
            blocks[...] = rounded.reshape(len(blocks), together, -1, 2).swapaxes(1, 2)

    def fill(self, struct: Any) -> None:  # noqa: ANN401  # cffi's structs have no type
        """Points a struct of the library at them."""
        struct.n, struct.width = self._shape
        struct.packed, struct.factors = pointer(self._packed), pointer(self._factors)
