"""``python -m coherence.mutants.mutant_server NAME,... serve ...``: `coherd serve` with rules left out, or
slow in places."""

from __future__ import annotations

import sys

from coherd.cli import main
from coherence.faults.slowness import SLOWNESS
from coherence.mutants.near_mutants import SERVER_MUTANTS
from coherence.mutants.service_mutants import MUTANTS

if __name__ == "__main__":
    for name in sys.argv.pop(1).split(","):
        (MUTANTS | SERVER_MUTANTS | SLOWNESS)[name](setattr)
    main()
