"""The benchmark: models x tasks x pruners x seeds x target losses, and component circuits."""
