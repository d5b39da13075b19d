"""Token ids in, token ids out: one thread that owns the model, the slots and every step."""
