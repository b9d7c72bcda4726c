"""What an auditor runs without us: `verify.py` imports nothing of this product, and is copied into every bundle as it is."""
