"""Catalogue in, artifact out; runs and ends."""

import os


def spinning_hurts(load: float, cores: int) -> bool:
    """Says whether so much else is at work that threads which spin take the cores from it and from each other."""
    return load >= cores / 2


# Torch's threads spin while they wait for each other. On a quiet machine that saves a tenth of a fit; beside a service
# that uses the same cores it makes fits several times longer. Read when torch is imported, so it stands here.
if hasattr(os, "getloadavg") and spinning_hurts(os.getloadavg()[0], os.cpu_count() or 1):
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
