"""Denoise files: planning jobs, one image, many images, images larger than memory, output folders, Ray."""
