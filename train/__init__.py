"""Shard reader, model, two-stage trainer, sampling and evaluation. Needs neither Ray nor the pipeline."""
