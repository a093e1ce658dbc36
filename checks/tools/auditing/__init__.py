"""Security audit: each tool behind one adapter, and what they say in one shape."""
