"""``coherd get``, ``set``, ``delete``, ``touch``: one entry by its key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import click

from coherd.catalog.declared import JSON_TYPE
from coherd.cli import parameters
from coherd.cli.catalog_choice import files_of
from coherd.cli.connection import ServerOptions, one_line_errors, run, server_options
from coherd.cli.output import CommandFailure, ExitCode, plain, pretty_json
from coherd.cli.payload import RawCodec, ValueTypes, json_document
from coherd.cli.undeclared import ask_and_show_remark, show_remark_on
from coherd.client import CacheClient
from coherd.codec import Codec, ValueEncodeError
from coherd.contract.durations import format_duration
from coherd.contract.keys import parse_key
from coherd.key import OpenKey
from coherd.results import SetOutcome, SetResult
from coherd.v1 import cache_service_pb2 as pb

_EXACT_BELOW_MS = 10_000
_TTL_HELP = "For instance 90s, 30m, 7d; the catalog's if not given."
_TAG_HELP = "Extra tag, like user=u1; may be repeated for other names."
_VERSION_HELP = "Item version; a lower one never overwrites a higher one."
_CATALOG_HELP = "Compiled descriptor set with value messages of your own (protoc --descriptor_set_out)."


class RawKey(OpenKey):
    """Any key by its text, its value as payload bytes."""

    __slots__ = ()
    codec: ClassVar[Codec[Any]] = RawCodec()


def _parsed(key: str) -> RawKey:
    with one_line_errors(of_key=True):
        return RawKey.parse(key)


def _types(catalog_file: Path | None) -> ValueTypes:
    return ValueTypes(None if catalog_file is None else files_of(catalog_file))


def _value_type(described: pb.DescribeCatalogResponse, key: RawKey) -> str:
    """Full name of the value message of a key, as the server's catalog has it."""
    parts = parse_key(key)
    declared = (resource for domain in described.domains for resource in domain.resources)
    return next((resource.value_type for resource in declared if resource.name == parts.resource), JSON_TYPE)


async def _remark(cache: CacheClient, key: RawKey) -> None:
    parts = parse_key(key)
    await ask_and_show_remark(cache, parts.domain, parts.resource)


@click.command(short_help="Show one value.")
@click.argument("key")
@click.option("--verbose", "-v", is_flag=True, help="Age, remaining TTL, version and tags on stderr.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with value and metadata.")
@click.option("--raw", is_flag=True, help="The payload's bytes, unchanged.")
@click.option("--accept-stale", is_flag=True, help="Also a value past its TTL, within the resource's stale time.")
@click.option("--catalog", "catalog_file", type=click.Path(path_type=Path), help=_CATALOG_HELP)
@server_options
def get(
    key: str,
    verbose: bool,
    as_json: bool,
    raw: bool,
    accept_stale: bool,
    catalog_file: Path | None,
    server: ServerOptions,
) -> int:
    """Show the value of KEY as JSON on stdout.

    A miss is exit code 1 and one line on stderr. Values of messages not known here are shown as base64.

    \b
    Examples:
      coherd get analytics:daily:user:u1:date:20250806
      coherd get celery:task_metrics:id:task123 --verbose
      coherd get shop:page:product:p1 --raw > page.bin
    """
    if raw and as_json:
        raise click.UsageError("--raw and --json exclude each other")
    types = _types(catalog_file)
    item = _parsed(key)

    async def act(cache: CacheClient) -> int:
        entry = await cache.get_entry(item, accept_stale=accept_stale)
        if entry is None:
            await _remark(cache, item)
            raise CommandFailure(f"miss: nothing is cached under {key}", ExitCode.NEGATIVE)
        type_name = JSON_TYPE
        if entry.value is not None:
            type_name = _value_type(await cache.describe_catalog(parse_key(item).domain), item)
        metadata = {
            "age_ms": entry.age_ms,
            "remaining_ttl_ms": entry.remaining_ttl_ms,
            "stale": entry.stale,
            "negative": entry.negative,
            "version": entry.version,
            "extra_tags": dict(entry.extra_tags),
            "value_type": type_name,
        }
        if as_json:
            document = None if entry.value is None else types.to_document(type_name, entry.value)
            click.echo(pretty_json({"key": key, "value": document, **metadata}))
        elif entry.value is None:
            raise CommandFailure(f'remembered as "nothing": {key}', ExitCode.NEGATIVE)
        elif raw:
            sys.stdout.buffer.write(entry.value)
            sys.stdout.buffer.flush()
        else:
            click.echo(pretty_json(types.to_document(type_name, entry.value)))
        if verbose:
            click.echo(_metadata_line(metadata), err=True)
        return ExitCode.NEGATIVE if entry.negative else ExitCode.OK

    return run(server, act, of_key=True)


def _metadata_line(metadata: dict[str, Any]) -> str:
    remaining = _rounded(abs(metadata["remaining_ttl_ms"]))
    shown = [
        f"age {_rounded(metadata['age_ms'])}",
        f"stale (ttl ended {remaining} ago)" if metadata["stale"] else f"ttl {remaining} left",
        f"type {metadata['value_type']}",
    ]
    if metadata["version"] is not None:
        shown.append(f"version {metadata['version']}")
    shown += [f"tag {name}={value}" for name, value in metadata["extra_tags"].items()]
    return plain(" · ".join(shown))


def _rounded(duration_ms: int) -> str:
    """A duration to whole seconds, unless it is short."""
    return format_duration(duration_ms if duration_ms < _EXACT_BELOW_MS else duration_ms // 1000 * 1000)


@click.command("set", short_help="Store one value.")
@click.argument("key")
@click.argument("value", metavar="JSON")
@click.option("--ttl", "ttl_ms", type=parameters.ttl_ms, metavar="DURATION", help=_TTL_HELP)
@click.option("--tag", "tags", type=parameters.tag_pair, metavar="NAME=VALUE", multiple=True, help=_TAG_HELP)
@click.option("--only-if-absent", is_flag=True, help="Store only if there is no valid value.")
@click.option("--version", type=click.IntRange(1, 2**63 - 1), help=_VERSION_HELP)
@click.option("--raw", is_flag=True, help="JSON is the payload's bytes, unchanged (with - from stdin).")
@click.option("--catalog", "catalog_file", type=click.Path(path_type=Path), help=_CATALOG_HELP)
@server_options
def set_(
    key: str,
    value: str,
    ttl_ms: int | None,
    tags: tuple[tuple[str, str], ...],
    only_if_absent: bool,
    version: int | None,
    raw: bool,
    catalog_file: Path | None,
    server: ServerOptions,
) -> int:
    """Store JSON under KEY; - reads it from stdin.

    Where the resource's value is a message, JSON is its Protobuf JSON form. Exit code 1 if --only-if-absent or
    --version kept it from being stored.

    \b
    Examples:
      coherd set analytics:daily:user:u1:date:20250806 '{"words": 812}' --ttl 30m
      coherd set session:data:id:s1 '{"cart": []}' --tag user=u1
      coherd set celery:worker_status:name:w1 '{"state": "online"}'
      generate-profile u1 | coherd set psychology:profile:user:u1 -
    """
    given_tags = [name for name, _ in tags]
    for name in given_tags:
        if given_tags.count(name) > 1:
            raise click.UsageError(f"--tag {name} is given twice: an entry has one value of each tag")
    types = _types(catalog_file)
    item = _parsed(key)
    data = _given(value)
    text = None if raw else _json_text(data)

    async def act(cache: CacheClient) -> int:
        payload = data
        described = None
        if text is not None:
            described = await cache.describe_catalog(parse_key(item).domain)
            payload = types.to_payload(_value_type(described, item), text)
        result = await cache.set(
            item,
            payload,
            ttl=parameters.timedelta_of(ttl_ms),
            tags=dict(tags),
            only_if_absent=only_if_absent,
            version=version,
        )
        if described is None:
            await _remark(cache, item)
        else:
            show_remark_on(described, parse_key(item).domain, parse_key(item).resource)
        return _report_set(key, result)

    return run(server, act, of_key=True)


def _report_set(key: str, result: SetResult) -> int:
    match result.outcome:
        case SetOutcome.STORED:
            click.echo(f"stored {plain(key)} for {format_duration(result.ttl_ms)}", err=True)
            return ExitCode.OK
        case SetOutcome.PRESENT:
            raise CommandFailure(f"not stored: there is a value under {key}", ExitCode.NEGATIVE)
        case SetOutcome.OLDER_VERSION:
            raise CommandFailure(f"not stored: a higher version is stored under {key}", ExitCode.NEGATIVE)
        case SetOutcome.DROPPED:
            raise CommandFailure(f"not known to be stored: {key}", ExitCode.UNAVAILABLE)


def _given(value: str) -> bytes:
    if value != "-":
        return value.encode(errors="surrogateescape")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise CommandFailure(f"stdin: {error.strerror or error}", ExitCode.USAGE) from None


def _json_text(data: bytes) -> str:
    """The text of JSON that was given; whether it is a value of its key is seen once the type is known."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise click.UsageError("the JSON text is not UTF-8") from None
    try:
        json_document(text)
    except ValueEncodeError as error:
        raise click.UsageError(str(error)) from None
    return text


@click.command(short_help="Remove one value.")
@click.argument("key")
@server_options
def delete(key: str, server: ServerOptions) -> int:
    """Remove KEY. Done as well if nothing was stored; the line on stderr says which.

    \b
    Examples:
      coherd delete session:data:id:session789
    """
    item = _parsed(key)

    async def act(cache: CacheClient) -> int:
        existed = await cache.delete(item)
        if not existed:
            await _remark(cache, item)
        click.echo(f"deleted {plain(key)}" if existed else f"nothing was stored under {plain(key)}", err=True)
        return ExitCode.OK

    return run(server, act, of_key=True)


@click.command(short_help="Give one value a new TTL.")
@click.argument("key")
@click.option("--ttl", "ttl_ms", type=parameters.ttl_ms, metavar="DURATION", help=_TTL_HELP)
@server_options
def touch(key: str, ttl_ms: int | None, server: ServerOptions) -> int:
    """Give the value of KEY a new TTL, counted from now. Exit code 1 if there is no fresh value.

    \b
    Examples:
      coherd touch session:data:id:session789
      coherd touch session:data:id:session789 --ttl 12h
    """
    item = _parsed(key)

    async def act(cache: CacheClient) -> int:
        if not await cache.touch(item, ttl=parameters.timedelta_of(ttl_ms)):
            await _remark(cache, item)
            raise CommandFailure(f"miss: no fresh value under {key}", ExitCode.NEGATIVE)
        click.echo(f"touched {plain(key)}", err=True)
        return ExitCode.OK

    return run(server, act, of_key=True)
