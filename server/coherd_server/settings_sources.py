"""Settings from flags, the environment (``COHERD_…``) and a TOML file, in this order; a problem names its place."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BeforeValidator, ValidationError

from coherd.contract.durations import format_duration
from coherd_server.settings import SIZES, Settings, SettingsError, parse_duration, parse_size

ENVIRONMENT_PREFIX: Final = "COHERD_"
_BOUNDS: Final = {"greater_than_equal": ("least", "ge"), "less_than_equal": ("most", "le")}
_KINDS: Final = {
    "int": "an integer, a whole number",
    "float": "a number, like 0.1",
    "bool": "a boolean: true or false",
    "string": "a string, text in quotes",
    "tuple": "a list",
    "dict": "a table",
    "model": "a table",
}
"""What a value must be, by the first word of the type of pydantic's error."""
_TABLES: Final = ("tokens", "ttl", "near_cache")
"""Settings that only the file can give."""
_NO_SETTINGS: Final = ("CONFIG", "TARGET", "TOKEN", "PURE", "NATIVE")
"""What else is taken from the environment, by the commands and `coherd._native`."""
_OF_KUBERNETES: Final = re.compile(r"(SERVICE_|PORT(_|$)).*")
"""What Kubernetes sets for a service that is named coherd."""


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None) -> Settings:
    """The settings in force.

    Args:
        flags: values given on the command line, by field name.
        environ: the environment; ``COHERD_CATALOG`` may list several files, separated by ``:``.
        file: TOML file, or None.

    Raises:
        SettingsError: naming flag, variable or ``file:line`` of each value that cannot be used.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    text = ""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8-sig")
            values.update(tomllib.loads(text))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise SettingsError(f"{file}: cannot be read: {reason}") from None
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{file}: {error}") from None
        except (RecursionError, ValueError):  # of the reader itself: too deep, too many digits
            raise SettingsError(f"{file}: nested too deeply, or a number is too long") from None
        origins.update(dict.fromkeys(values, str(file)))
    for name in Settings.model_fields:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in environ and name in _TABLES:
            raise SettingsError(f"{variable}: {name} is set in the TOML file only")
        if environ.get(variable):  # empty is as good as not set: so compose files and charts write it
            values[name] = environ[variable].split(":") if name == "catalog" else environ[variable]
            origins[name] = variable
    for name, value in flags.items():
        values[name] = value
        origins[name] = "--" + name.replace("_", "-")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        lines = [_problem(dict(problem), origins, file, text) for problem in error.errors(include_url=False)]
        raise SettingsError("\n".join(lines)) from None
    paths = [[name] for name in origins]
    paths += (["ttl", name] for name in settings.ttl)
    paths += (["near_cache", name] for name in settings.near_cache)
    settings._origins.update({".".join(path): _origin(path, origins, file, text) for path in paths})
    return settings


def unknown_variables(environ: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Variables ``COHERD_…`` that nothing reads, each with the one that may have been meant; None where none is near.

    Args:
        environ: the environment.
    """
    known = [*(name.upper() for name in Settings.model_fields if name not in _TABLES), *_NO_SETTINGS]
    ours = [name for name in sorted(environ) if name.upper().startswith(ENVIRONMENT_PREFIX)]
    names = {variable: variable[len(ENVIRONMENT_PREFIX) :] for variable in ours}
    return [
        (variable, _meant(name.upper(), known))
        for variable, name in names.items()
        if name not in known and name.lower() not in _TABLES and not _OF_KUBERNETES.fullmatch(name)
    ]


def _meant(name: str, known: Sequence[str]) -> str | None:
    """The longest known name that stands in it word for word, else the most similar one."""
    inside = [one for one in known if f"_{one}_" in f"_{name}_" or f"_{name}_" in f"_{one}_"]
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    nearest = similar or sorted(inside, key=len, reverse=True)
    return ENVIRONMENT_PREFIX + nearest[0] if nearest else None


def _problem(error: dict[str, Any], origins: Mapping[str, str], file: Path | None, text: str) -> str:
    path = [str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "no such setting"
    elif error["type"] in _BOUNDS:
        which, key = _BOUNDS[error["type"]]
        message = f"must be at {which} {_written(path[0], error['ctx'][key])}"
    elif error["type"] == "string_too_long":
        message = f"must be at most {error['ctx']['max_length']} characters"
    elif error["type"] in ("literal_error", "enum"):
        message = f"must be one of {error['ctx']['expected']}"
    elif (kind := error["type"].partition("_")[0]) in _KINDS:
        message = f"must be {_KINDS[kind]}"
    # A rule between settings has no path: it stands where the first one it names was given.
    place = path or [name for name in re.findall(r"\w+", message) if name in origins][:1]
    origin = _origin(place, origins, file, text)
    # A flag or variable is named like its setting.
    told = not path or (len(path) == 1 and origins.get(path[0]) == origin)
    return f"{origin}: {message}" if told else f"{origin}: {'.'.join(path)}: {message}"


def _written(name: str, bound: int) -> str:
    """A bound as one writes values of the setting."""
    parsers = [
        validator.func for validator in Settings.model_fields[name].metadata if isinstance(validator, BeforeValidator)
    ]
    if parse_duration in parsers:
        return format_duration(bound)
    if parse_size in parsers:
        unit = next(unit for unit in ("gb", "mb", "kb", "b") if bound % SIZES[unit] == 0)
        return f"{bound // SIZES[unit]}{unit}"
    return str(bound)


def _origin(path: list[str], origins: Mapping[str, str], file: Path | None, text: str) -> str:
    origin = origins.get(path[0], "settings") if path else "settings"
    if file is not None and origin == str(file):
        line = _line_of(text, path)
        origin = f"{file}:{line}" if line else origin
    return origin


def _line_of(text: str, path: list[str]) -> int | None:
    """Line of a setting in TOML text, found by its table and key; None if it is written in another way."""
    table: list[str] = []
    best: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            header = stripped.split("#")[0].strip("[] ")
            table = [part.strip(" \"'") for part in re.findall(r'"[^"]*"|[^.]+', header)]
            here = table
        else:
            here = [*table, stripped.split("=", 1)[0].strip(" \"'")]
        if here == path:
            return number
        if here and path[: len(here)] == here:
            best = number
    return best
