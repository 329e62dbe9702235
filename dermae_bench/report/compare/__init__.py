"""Is the candidate better than the reference? Two rows, or two results folders, on the same images."""
