"""Runs work items on Ray Core: one actor pool a stage, items handed out as their inputs become ready."""
