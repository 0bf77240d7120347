"""The tests. One thread for numeric libraries: fits are tiny, and threads that wait for each other cost more."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
