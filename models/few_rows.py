"""Products of a few rows with a matrix, as a request needs them. Numpy only."""

from models.types import Matrix

# So many rows one by one take less time than BLAS takes to rearrange the matrix for all of them.
_FEW = 4


def product(rows: Matrix, matrix: Matrix) -> Matrix:
    """Returns rows · matrix over the last two axes, as `@` does.

    Args:
        rows: Shape `(…, n, width)`.
        matrix: Shape `(…, width, height)`.
    """
    if not 1 < rows.shape[-2] <= _FEW:
        return rows @ matrix
    one_by_one: Matrix = rows[..., None, :] @ matrix[..., None, :, :]
    return one_by_one[..., 0, :]
