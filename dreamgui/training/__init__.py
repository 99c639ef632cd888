"""Training: the loop, what it reads, what it keeps."""
