"""From a recipe to a model file. PyTorch is imported by its modules and not by the package itself."""
