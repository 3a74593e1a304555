"""Arrays of one head: intensity, crop, brain, tissue, lesions, regions, Jacobian, quality."""
