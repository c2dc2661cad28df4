"""Pictures: attention, masks, positions, curves of training, scores by length."""
