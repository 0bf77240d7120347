"""Catalogue in, artifact out; runs and ends."""
