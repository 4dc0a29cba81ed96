"""Where data goes; a file is a --to-NAME."""
