"""The people who use the platform, outside of it: they speak HTTP and know nothing of its insides."""
