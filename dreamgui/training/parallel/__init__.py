"""Training on several GPUs: data parallel, FSDP, and the processes themselves."""
