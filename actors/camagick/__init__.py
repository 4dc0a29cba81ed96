"""What is done to data: sources, pipes, sinks, flows, and the actor that hosts one of them."""

__version__ = "0.1.0"
