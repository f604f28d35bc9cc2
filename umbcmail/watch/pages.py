"""The picture for programs (JSON) and for people (text, HTML).

All are made of one record, which C{umbcmail status} gets as JSON and prints with
L{textOf}.  What stands in it is escaped: names and conditions may have octets of
peers in them.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from umbcmail.watch.picture import Picture, metricName

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")

_STYLE = (
    "body{font:15px sans-serif;margin:2em;color:#222}table{border-collapse:collapse;margin-bottom:1.5em}"
    "td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}td.n{text-align:right}"
    ".bad{color:#a00;font-weight:bold}.good{color:#060;font-weight:bold}"
)


def recordOf(picture: Picture) -> dict[str, Any]:
    """The answer to /status, for L{json.dumps}."""
    about = picture.about
    names = [part.name for part in picture.parts if part.condition]
    return {
        "status": "degraded" if names else "ok",
        "degraded": names,
        "ready": not picture.notReady,
        "not_ready": picture.notReady,
        "host": about.host,
        "version": about.version,
        "roles": list(about.roles),
        "pid": picture.pid,
        "started": stampOf(about.started),
        "now": stampOf(picture.now),
        "uptime_seconds": round(max(0.0, picture.now - about.started), 3),
        "doors": _doors(picture),
        "queues": _queues(picture),
        "certificates": {labels.get("file", ""): value for labels, value in _named(picture, "certificate_days")},
        "parts": [
            {
                "name": part.name,
                "condition": part.condition,
                "figures": [
                    {"name": metricName(figure.name), "labels": dict(figure.labels), "value": _value(figure.value)}
                    for figure in part.figures
                ],
            }
            for part in picture.parts
        ],
    }


def stampOf(seconds: float) -> str:
    """A time in UTC, C{2026-11-25T04:05:06Z}."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _value(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def _named(picture: Picture, name: str) -> Iterator[tuple[dict[str, str], float | None]]:
    for figure in picture.figures():
        if figure.name == name:
            yield dict(figure.labels), _value(figure.value)


def _doors(picture: Picture) -> dict[str, dict[str, Any]]:
    doors: dict[str, dict[str, Any]] = {}
    for labels, value in _named(picture, "door_open"):
        doors[labels.get("port", "")] = {"address": labels.get("address", ""), "open": bool(value), "sessions": None}
    for labels, value in _named(picture, "accept_sessions"):
        if labels.get("port", "") in doors:
            doors[labels["port"]]["sessions"] = value
    return doors


def _queues(picture: Picture) -> dict[str, dict[str, float | None]]:
    queues: dict[str, dict[str, float | None]] = {}
    for labels, value in _named(picture, "queue_entries"):
        queues.setdefault(labels.get("queue", ""), {})[labels.get("state", "")] = value
    for labels, value in _named(picture, "queue_oldest_seconds"):
        queues.setdefault(labels.get("queue", ""), {})["oldest_seconds"] = value
    return queues


# For people


def shown(value: Any) -> str:
    """A value for a line of text: no control characters, no more than fits."""
    if isinstance(value, float):
        value = f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
    return _CONTROL.sub("?", str(value))[:500]


def ageOf(seconds: Any) -> str:
    """A time span for people."""
    if not isinstance(seconds, (int, float)):
        return "?"
    whole = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _summary(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("host", shown(record["host"])),
        ("version", f"umbcmail {shown(record['version'])}, pid {shown(record['pid'])}"),
        ("roles", shown(" ".join(map(str, record["roles"])))),
        ("started", f"{shown(record['started'])}, {ageOf(record['uptime_seconds'])} ago"),
        ("accepts mail", "yes" if record["ready"] else f"no: {shown(record['not_ready'])}"),
    ]


def _tables(record: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, heads and rows; tables without rows are left out."""
    parts = [[shown(part["name"]), shown(part["condition"]) or "ok"] for part in record["parts"]]
    yield "parts", ["part", "condition"], parts
    doors = [
        [shown(name), shown(door["address"]), "open" if door["open"] else "closed", shown(door["sessions"])]
        for name, door in record["doors"].items()
    ]
    yield "doors", ["port", "address", "state", "sessions"], doors
    queues = [
        [shown(name), *(shown(queue.get(key, "?")) for key in ("waiting", "claimed", "held"))]
        + [ageOf(queue.get("oldest_seconds"))]
        for name, queue in record["queues"].items()
    ]
    yield "queues", ["queue", "waiting", "claimed", "held", "oldest"], queues
    certificates = [[shown(file), shown(days)] for file, days in record["certificates"].items()]
    yield "certificates", ["certificate", "days left"], certificates
    figures = [
        [shown(figure["name"]), shown(" ".join(map(str, figure["labels"].values()))), shown(figure["value"])]
        for part in record["parts"]
        for figure in part["figures"]
    ]
    yield "figures", ["figure", "of", "value"], figures


def textOf(record: Mapping[str, Any]) -> str:
    """The picture as text.

    @param record: see L{recordOf}; may have come over the wire.
    @raise LookupError, TypeError, ValueError, AttributeError: it is none.
    """
    lines = [f"status: {shown(record['status'])}"]
    lines += [f"{name}: {text}" for name, text in _summary(record)]
    for _, heads, rows in _tables(record):
        if rows:
            lines += ["", *_aligned([heads, *rows])]
    return "\n".join(lines) + "\n"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [min(max(map(len, column)), 60) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def htmlOf(record: Mapping[str, Any]) -> str:
    """The picture as a page that needs nothing else."""
    kind = "good" if record["status"] == "ok" else "bad"
    status = f'<span class="{kind}">{escape(shown(record["status"]))}</span>'
    title = escape(f"{shown(record['host'])}: {shown(record['status'])}")
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head><body>',
        f"<h1>{escape(shown(record['host']))}: {status}</h1>",
        "<table>",
        *(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in _summary(record)),
        "</table>",
    ]
    for title, heads, rows in _tables(record):
        if rows:
            lines += [f"<h2>{escape(title)}</h2>", "<table>", _row("th", heads), *(_row("td", row) for row in rows)]
            lines.append("</table>")
    return "\n".join([*lines, "</body></html>"]) + "\n"


def _row(tag: str, cells: list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
