"""A random walk through the rules of sign-off, checked against a small model of them that shares no code with the product."""
