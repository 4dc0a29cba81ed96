"""What several processors share; knows no processor."""
