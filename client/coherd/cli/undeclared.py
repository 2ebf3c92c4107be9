"""A remark on a resource that nobody declared: an open domain takes it, so a misspelt name is a plain miss."""

from __future__ import annotations

from collections.abc import Iterable

import click

from coherd.cli.diagnose import nearest
from coherd.cli.output import plain
from coherd.client import CacheClient
from coherd.errors import CacheError
from coherd.v1 import cache_service_pb2 as pb


def remark(domain: str, resource: str, declared: Iterable[str]) -> str | None:
    """One line on a resource of an open domain; None if it is declared."""
    names = list(declared)
    if resource in names:
        return None
    meant = nearest(resource, names)
    question = f"; did you mean {domain}:{meant}?" if meant else ""
    return f"{domain}:{resource} is not declared (the domain is open){question}"


def show_remark(domain: str, resource: str, declared: Iterable[str]) -> None:
    """Write the `remark` to stderr, if there is one."""
    line = remark(domain, resource, declared)
    if line is not None:
        click.echo(plain(line), err=True)


def show_remark_on(described: pb.DescribeCatalogResponse, domain: str, resource: str) -> None:
    """`show_remark` by what a server describes; nothing on a domain that is not in it, or not open."""
    for description in described.domains:
        if description.name == domain and description.open:
            show_remark(domain, resource, [declared.name for declared in description.resources])


async def ask_and_show_remark(cache: CacheClient, domain: str, resource: str) -> None:
    """`show_remark` by the server's catalog. Nothing if it cannot be asked: a remark fails no command."""
    try:
        described = await cache.describe_catalog(domain)
    except CacheError:
        return
    show_remark_on(described, domain, resource)
