"""``coherd invalidate``: by named invalidation, tag, resource, domain or key, in one step."""

from __future__ import annotations

import click

from coherd.cli.connection import ServerOptions, one_line_errors, run, server_options
from coherd.cli.output import counted, plain, pretty_json
from coherd.cli.selector_text import SelectorTextError, parse_selectors
from coherd.cli.undeclared import ask_and_show_remark
from coherd.client import CacheClient
from coherd.selectors import Resource


@click.command(short_help="Invalidate a user, a tag, a resource, a domain.")
@click.argument("selectors", metavar="SELECTOR...", nargs=-1, required=True)
@click.option(
    "--wait-for-near-caches",
    is_flag=True,
    help="Return only when every near cache has dropped the values, whatever the domain says.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@server_options
def invalidate(selectors: tuple[str, ...], wait_for_near_caches: bool, as_json: bool, server: ServerOptions) -> int:
    """Invalidate everything the SELECTORs select, whatever the number of keys, and print the tags that changed.

    \b
    A SELECTOR is one of:
      NAME=VALUE                     a named invalidation of the server's catalog
      tag [DOMAIN/]IDENTIFIER:VALUE  one tag; without DOMAIN in every domain that has it
      resource DOMAIN:RESOURCE       every entry of a resource
      domain DOMAIN                  every entry of a domain
      key KEY                        one key, as `coherd delete`

    \b
    Examples:
      coherd invalidate user=user123
      coherd invalidate date=20250805
      coherd invalidate tag analytics/user:user123 resource analytics:daily
      coherd invalidate domain maintenance
    """
    try:
        with one_line_errors():
            parsed = parse_selectors(selectors)
    except SelectorTextError as error:
        raise click.UsageError(plain(str(error))) from None

    async def act(cache: CacheClient) -> int:
        result = await cache.invalidate(*parsed, wait_for_near_caches=wait_for_near_caches)
        if as_json:
            click.echo(pretty_json({"tags": list(result.tags), "deleted_keys": result.deleted_keys}))
        else:
            for tag in result.tags:
                click.echo(plain(tag))
            click.echo(_summary(len(result.tags), result.deleted_keys), err=True)
        for selector in parsed:
            if isinstance(selector, Resource):
                await ask_and_show_remark(cache, selector.domain, selector.resource)
        return 0

    return run(server, act)


def _summary(tags: int, deleted_keys: int) -> str:
    parts = [f"{counted(tags, 'tag')} got a new epoch"] if tags else []
    if deleted_keys:
        parts.append(f"{counted(deleted_keys, 'key')} deleted")
    return ", ".join(parts) or "nothing was stored"
