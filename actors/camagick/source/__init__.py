"""Where data comes from; a file is a --from-NAME."""
