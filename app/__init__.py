"""Artifact in, candidates out; stays up."""

import os

# Small matrices gain nothing from BLAS threads, and they would fight with the encoder's: set before numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
