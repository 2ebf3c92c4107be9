"""``python -m coherd.cli`` is ``coherd``."""

from coherd.cli import main

main()
