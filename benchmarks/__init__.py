"""Speed, as ratios against peers and physical limits in the same run: `python -m benchmarks`."""
