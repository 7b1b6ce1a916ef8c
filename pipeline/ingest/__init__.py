"""Source files to clips: discovery, manifests, splits, clip ranges."""
