"""Settings <-> ``study.toml``: an unknown key is refused and the nearest known one is named."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from relevox.config.presets import PRESETS
from relevox.config.section import nearest
from relevox.config.study import Settings
from relevox.errors import SettingsError


def from_toml(text: str, base: Settings | None = None, file: str | Path | None = None) -> Settings:
    """Read settings from TOML, on top of a base.

    Parameters
    ----------
    text : str
        TOML; keys that are absent keep the base's value.
    base : Settings, optional
        Default: ``PRESETS["default"]``.
    file : path-like, optional
        Named in errors.

    Raises
    ------
    SettingsError
        For TOML that cannot be read, unknown keys and impossible values.
    """
    if len(text) > 1_000_000:
        raise SettingsError("settings larger than 1 MB", code="settings-unreadable", file=file)
    try:
        given = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"not valid TOML: {error}", code="settings-unreadable", file=file) from None
    merged = (base or PRESETS["default"]).model_dump()
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merged[key] | value
        else:
            merged[key] = value
    return _validated(merged, file)


def to_toml(settings: Settings) -> str:
    """Write settings as TOML; :func:`from_toml` reads them back equal."""
    lines, sections = [], []
    for key, value in settings.model_dump().items():
        if isinstance(value, dict):
            sections += ["", f"[{key}]", *(f"{k} = {_toml(v)}" for k, v in value.items())]
        else:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines + sections) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = {'"': '\\"', "\\": "\\\\"}
        # TOML knows no bare control characters
        return '"' + "".join(plain.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in value) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)


def _validated(values: dict, file: str | Path | None) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        name = ".".join(place)
        if first["type"] == "extra_forbidden":
            section = values if len(place) == 1 else PRESETS["default"].model_dump()[place[0]]
            known = section if len(place) > 1 else Settings.model_fields
            raise SettingsError(
                f"unknown setting {name!r}",
                code="setting-unknown",
                file=file,
                remedy=nearest(place[-1], known),
            ) from None
        # a rule between several settings speaks for itself; its input is the whole section
        got = "" if first["type"] == "value_error" else f", but got {first['input']!r}"
        raise SettingsError(f"{name}: {first['msg']}{got}", code="setting-invalid", file=file, row=name) from None
