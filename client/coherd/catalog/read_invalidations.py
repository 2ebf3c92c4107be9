"""Read the named invalidations of a catalog from the options of its files."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from coherd.catalog import options
from coherd.catalog.declared import DomainSpec, InvalidationSpec, Kind, TagPattern
from coherd.catalog.source_files import SourceFiles
from coherd.contract.keys import is_name
from coherd.v1 import annotations_pb2

_TAG_PATTERN: Final = re.compile(r"([a-z][a-z0-9_]*)/([a-z][a-z0-9_]*)(:\*)?")


def read_invalidations(
    source: SourceFiles, domains: dict[str, DomainSpec], *, partial: bool
) -> dict[str, InvalidationSpec]:
    """The named invalidations of all files, by name.

    Args:
        source: the files.
        domains: what the tags name; a domain whose ``*`` tag is asked for is replaced by one that has it.
        partial: tags may be of domains that are declared elsewhere.
    """
    invalidations: dict[str, InvalidationSpec] = {}
    declared_in: dict[str, str] = {}
    for file in source.files:
        source.refuse_unknown(file.options, file.name)
        for option in options.invalidations_of(file):
            where = f"{file.name}: invalidation {option.name!r}"
            if not is_name(option.name):
                source.problems.append(f"{where}: the name must be lower snake case, 1..64 characters")
            if option.name in invalidations:
                source.problems.append(f"{where}: declared twice, also by {declared_in[option.name]}")
            declared_in[option.name] = file.name
            if not option.tags:
                source.problems.append(f"{where}: lists no tags")
            if len(set(option.tags)) != len(option.tags):
                source.problems.append(f"{where}: a tag is listed twice")
            is_date = option.format == annotations_pb2.DATE
            patterns: list[TagPattern] = []
            for text in option.tags:
                try:
                    patterns.append(_tag_pattern(text, is_date, domains, partial))
                except ValueError as error:
                    source.problems.append(f"{where}: tag {text!r}: {error}")
            invalidations[option.name] = InvalidationSpec(
                option.name,
                option.summary,
                tuple(patterns),
                is_date=is_date,
                personal=any(p.domain in domains and p.identifier in domains[p.domain].personal for p in patterns),
            )
    return invalidations


def _tag_pattern(text: str, is_date: bool, domains: dict[str, DomainSpec], partial: bool) -> TagPattern:
    match = _TAG_PATTERN.fullmatch(text)
    if match is None:
        raise ValueError('it must be written "domain/identifier" or "domain/identifier:*"')
    pattern = TagPattern(match[1], match[2], bool(match[3]))
    domain = domains.get(pattern.domain)
    if domain is None:
        if partial:
            return pattern
        raise ValueError("no such domain")
    if pattern.identifier not in domain.tags:
        raise ValueError(f"the domain does not declare {pattern.identifier!r} as a tag")
    if pattern.any_value:
        domains[pattern.domain] = replace(domain, any_tags=domain.any_tags | {pattern.identifier})
    elif kinds := {spec.kind for spec in domain.tag_types.get(pattern.identifier, ())}:
        if is_date and Kind.DATE not in kinds:
            raise ValueError("the invalidation has format DATE, but this identifier has not")
        if not is_date and kinds == {Kind.DATE}:
            raise ValueError("this identifier has format DATE, but the invalidation has not")
    return pattern
