"""LoRA files and adapters: naming, reading, attaching, merging, extracting."""
