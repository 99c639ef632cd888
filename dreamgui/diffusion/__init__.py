"""The algorithms of diffusion: generation, noise schedules, encoding, losses, the training step, checkpoints."""
