"""Catalogue in, artifact out; runs and ends."""

import os

# Torch's threads, waiting for each other, would spin: beside a service that answers on the same cores a fit then takes
# ten times as long. Read when torch is imported, so it stands here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
