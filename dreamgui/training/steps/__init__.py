"""One optimizer step: loss, backward pass, optimizer, CUDA graph, compilation."""
