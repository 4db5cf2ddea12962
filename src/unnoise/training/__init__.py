"""Training: from a recipe to a model file. Its modules import PyTorch, the package does not."""
