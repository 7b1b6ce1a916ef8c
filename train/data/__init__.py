"""Training batches from prebuilt shards, with neither Ray nor the pipeline."""
