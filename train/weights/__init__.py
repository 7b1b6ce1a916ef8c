"""Weights of others: Stable Diffusion 1.5, image encoders, AnimateDiff's motion modules, released MikuDance files."""
