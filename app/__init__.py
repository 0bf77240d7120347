"""Artifact in, candidates out; stays up."""
