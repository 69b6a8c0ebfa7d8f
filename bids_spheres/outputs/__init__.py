"""Our output dataset: names, sidecars, shared files, exclusions."""
