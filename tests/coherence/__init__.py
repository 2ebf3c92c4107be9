"""Proof of the promises P1 and P3-P6 (DESIGN section 6): recorded histories under faults, named checks over them,
mutants that the checks must catch, and an exhaustive search of the protocol's interleavings."""
