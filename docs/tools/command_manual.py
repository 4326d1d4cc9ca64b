# SPDX-License-Identifier: Apache-2.0
"""The manual pages of the command `memif`, made from what --help shows.

    python docs/tools/command_manual.py

writes docs/man/memif.1, memif-NAME.1 for each subcommand, and memif-extcap.1. The pages are part of
the sources: making them needs the built package and click, and a build has neither. A test says
when they are out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import click

from libmemif_py.tools import cli as commands
from libmemif_py.tools.wireshark.command import command as extcap

sys.path.insert(0, str(Path(__file__).resolve().parent))
from manual import filled, literal

FOLDER = Path(__file__).resolve().parents[1] / "man"


def pages() -> dict[str, str]:
    """All pages: file name to text."""
    group = commands.cli
    context = click.Context(group, info_name="memif", **group.context_settings)
    made = {"memif.1": _page(context, "tools for memif, a packet interface over shared memory")}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        settings = command.context_settings
        inner = click.Context(command, info_name=name, parent=context, **settings)
        made[f"memif-{name}.1"] = _page(inner, commands.COMMANDS[name])
    context = click.Context(extcap, info_name=extcap.name, **extcap.context_settings)
    made["memif-extcap.1"] = _page(context, "memif sockets as interfaces of Wireshark")
    return made


def _page(context: click.Context, summary: str) -> str:
    words = context.command_path
    name = words.replace(" ", "-")
    described, examples, status = _parts(context.command)
    what = summary[0].lower() + summary[1:].rstrip(".")
    lines = [
        f'.TH {literal(name.upper())} 1 "" "libmemif\\-py" "User commands"',
        *(".nh", ".ad l"),
        *(".SH NAME", f"{literal(name)} \\- {_text(what)}"),
        *(".SH SYNOPSIS", f".B {literal(words)}", _usage(context)),
        *(".SH DESCRIPTION", *described),
    ]
    subcommands = commands.COMMANDS if isinstance(context.command, click.Group) else {}
    if subcommands:
        lines.append(".SH COMMANDS")
        for command, text in subcommands.items():
            lines += [".TP", f".BR {literal(f'{name}-{command}')} (1)", _text(text)]
    lines.append(".SH OPTIONS")
    for option in context.command.get_params(context):
        if isinstance(option, click.Option) and not option.hidden:
            lines += [".TP", _names(option), *map(_text, filled(_meaning(option)))]
    for title, part in {"EXIT STATUS": status, "EXAMPLES": examples}.items():
        lines += [f".SH {title}", *part] if part else []
    lines.append(".SH SEE ALSO")
    others = [f"memif-{command}" for command in subcommands] or ["memif"]
    lines += [f".BR {literal(other)} (1)," for other in others]
    lines.append(".BR libmemif (7)")
    return "\n".join(lines) + "\n"


def _parts(command: click.Command) -> tuple[list[str], list[str], list[str]]:
    """The help of a command: its description, examples and exit status."""
    described: list[str] = []
    examples: list[str] = []
    status: list[str] = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        lines = [line for line in part.replace("\b", "").splitlines() if line]
        text = " ".join(line.strip() for line in lines)
        if any(re.match("  memif(-extcap)? ", line) for line in lines):
            examples += _block(lines)
        elif text.startswith("Exit status: "):
            status += map(_text, filled(text.removeprefix("Exit status: ")))
        elif "\b" in part or lines[0].startswith(" "):
            described += _block(lines)
        else:
            described += [".PP"] if described else []
            described += map(_text, filled(text))
    return described, examples, status


def _block(lines: list[str]) -> list[str]:
    """Indented lines as they are, below the line that introduces them."""
    head = [line for line in lines if not line.startswith(" ") and line != "Examples:"]
    body = [literal(line.strip()) for line in lines if line.startswith(" ")]
    return [".PP", *map(_text, head), ".RS 4", ".nf", *body, ".fi", ".RE"]


def _usage(context: click.Context) -> str:
    """What follows the name of the command."""
    command = context.command
    words = ["[\\fIOPTIONS\\fR]"]
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Argument):
            shown = _text(parameter.metavar or parameter.name.upper())
            words.append(shown if "|" in shown else f"\\fI{shown}\\fR")
    if isinstance(command, click.Group):
        words.append("\\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")
    return " ".join(words)


def _names(option: click.Option) -> str:
    names = ", ".join(f"\\fB{literal(name)}\\fR" for name in option.opts)
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(option: click.Option) -> str:
    if option.metavar:
        return f"\\fI{_text(option.metavar)}\\fR"
    if isinstance(option.type, click.Choice):
        return "|".join(f"\\fB{literal(choice)}\\fR" for choice in option.type.choices)
    numbers = (click.types.IntParamType, click.types.FloatParamType)
    word = "number" if isinstance(option.type, numbers) else option.type.name
    return f"\\fI{_text(word.upper())}\\fR"


def _meaning(option: click.Option) -> str:
    parts = [option.help or "", _range(option.type)]
    default = option.default
    if option.show_default and isinstance(default, str | int | float):
        parts.append(f"Default: {default}.")
    return " ".join(part for part in parts if part)


def _range(kind: click.ParamType) -> str:
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    if kind.max is not None:
        return f"From {kind.min} to {kind.max}."
    return f"{'More than' if kind.min_open else 'At least'} {kind.min}."


def _text(text: str) -> str:
    return literal(text.replace("`", ""))


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
