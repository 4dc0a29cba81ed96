"""What is done to data on its way; a file is a --NAME."""
