"""Schemas and typed records of every artifact, catalog table and shard sample (no project imports)."""
