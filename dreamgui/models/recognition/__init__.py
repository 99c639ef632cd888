"""Recognition: what a model file or folder holds, told by its tensors."""
