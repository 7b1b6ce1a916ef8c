"""Benchmarks: ratios against a named peer or limit, measured in the same run. `python -m bench` runs them all."""
