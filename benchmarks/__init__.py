"""Benchmarks: they start what they measure, check every answer, and print quality beside speed."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
