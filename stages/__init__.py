"""One file a stage: artifacts in, artifact out, quality figures. No Ray."""
