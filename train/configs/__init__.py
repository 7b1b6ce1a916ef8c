"""Packaged configurations: `python -m train stage1.yaml`."""
