"""The audit: a static site about a dataset that opens from disk, made from the catalog and a sample of its clips."""
