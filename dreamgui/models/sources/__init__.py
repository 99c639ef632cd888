"""Sources of models: civitai, Hugging Face, a file, the bundled demo."""
