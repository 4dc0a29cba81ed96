"""A run as manifests for those who start programs by themselves: Kubernetes, compose, systemd."""
