"""RWKV models: files to tensors, tokens to logits, text to tokens. No HTTP, no conversations."""
