"""Catalogs: reading declarations, looking them up, comparing and describing them. Pure."""
