"""Programs that benchmarks start: raw ZeroMQ, and what runs in the environments of peers."""
