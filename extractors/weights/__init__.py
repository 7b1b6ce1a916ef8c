"""Model weights of the reference backends: what they are, where they come from, and whether a copy is the real one."""
