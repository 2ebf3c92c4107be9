"""The verbs of the blocking client, generated from those of the asynchronous one."""
