"""Trained models that come with the package, a folder each, and how such a folder is made (`export`)."""
