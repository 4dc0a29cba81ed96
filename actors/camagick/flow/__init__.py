"""How processors are composed: chain [ ] and fanout { }."""
