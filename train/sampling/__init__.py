"""Sampling: DDIM with classifier-free guidance over sliding windows."""
