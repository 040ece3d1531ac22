"""Training: the loop, its checkpoints, devices and networks."""
