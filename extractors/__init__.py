"""Signals from frames: one signal a folder, one backend a file; frames in, arrays out; no I/O, no Ray."""
