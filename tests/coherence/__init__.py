"""Proof of the promises P1 to P6 (docs/internals/rules.md): recorded histories under faults, named checks over them,
mutants that the checks must catch, and an exhaustive search of the protocol's interleavings.

`model` is that search, `traffic` what clients do and record, `faults` what is done to them, `validate` the checks over
what was recorded (`history`), `mutants` the rules left out, `scenarios` short histories aimed at one rule each, `soak`
random work of real processes: its tests are the short form, ``make soak`` the long one.
"""
