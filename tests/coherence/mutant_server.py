"""``python -m coherence.mutant_server MUTANT serve ...``: `coherd serve` with one rule left out."""

from __future__ import annotations

import sys

from coherd.cli import main
from coherence.mutants import MUTANTS

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)](setattr)
    main()
