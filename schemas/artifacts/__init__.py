"""One module a stage: the typed record that the stage makes, and its Arrow table with schema and header.

Every table carries a JSON header in its schema metadata (`Header`): stage, clip, status, quality figures. Tables hold
no clock and no host name, so that the same inputs give the same bytes. Maps are `.npy` bytes (never pickle).
"""
