"""Importing other people's models and exporting ours: one file per format or tool."""
