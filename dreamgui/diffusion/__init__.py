"""The algorithms of diffusion: drawing, noise schedules, encoding, losses, the training step, checkpoints."""
