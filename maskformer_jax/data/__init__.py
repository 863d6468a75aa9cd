"""From files to batches, in NumPy: sources, augmentation, targets, the training and test input."""
