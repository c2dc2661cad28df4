"""Adam and the schedules of the learning rate."""
