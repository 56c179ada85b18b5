"""A user's own files: which of them are text, and the text in them, whatever their format, compression and encoding."""
