"""Pictures: attention, masks, positions, training curves, gradients, scores by length."""
