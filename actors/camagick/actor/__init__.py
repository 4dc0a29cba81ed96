"""The process that hosts one processor on the bus."""
