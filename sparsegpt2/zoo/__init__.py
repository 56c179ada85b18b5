"""Trained models that come with the package, a folder each, how such a folder is made (`export`), listed, released
and fetched."""
