"""From files to clean files: what is to be done, one picture, many pictures, pictures larger than memory, clusters."""
