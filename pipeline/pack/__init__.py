"""Packing: which clips make a release, how they are grouped into shards, and the shards themselves."""
