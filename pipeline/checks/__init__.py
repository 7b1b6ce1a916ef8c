"""Measurements of what a dataset holds, and verdicts on them: measured once, thresholds apart."""
