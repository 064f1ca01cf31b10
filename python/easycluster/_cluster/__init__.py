"""Many machines as one: connecting, calls on all, maps, and an executor."""
