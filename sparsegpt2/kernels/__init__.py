"""Fast paths, each beside its plain torch reference and chosen by device when called."""
