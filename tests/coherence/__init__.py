"""Proof of the promises P1 to P6 (docs/internals/rules.md): recorded histories under faults, named checks over them,
mutants that the checks must catch, and an exhaustive search of the protocol's interleavings."""
