"""Benchmarks: they start what they measure, check every answer, and print quality beside speed."""
