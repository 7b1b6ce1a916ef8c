"""Command line, configuration, planner, Ray executor, catalog, artifact store, packing and audit."""
