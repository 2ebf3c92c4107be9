"""The verbs of `CacheClient`, a class for each kind; they share what `base` holds."""
