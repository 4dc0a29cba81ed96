"""The bus: bytes, addresses, clocks. Knows no processor and no flag of the command line."""
