"""`hub completion`: what a shell needs to complete commands, options and values."""

from __future__ import annotations

import os
import shlex

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from cli.options import lines
from cli.units import PROGRAM

_VARIABLE = "_HUB_COMPLETE"
_NAME = "hub"
_CLASSES = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/hub",
    "zsh": "~/.zfunc/_hub",
    "fish": "~/.config/fish/conf.d/hub.fish",
}
_MORE = {
    "bash": "It takes the package bash-completion, or a line `source FILE` in ~/.bashrc.",
    "zsh": "In ~/.zshrc, before compinit: fpath+=~/.zfunc",
    "fish": "It counts in each fish that is started then.",
}
_AS_TYPED = {
    "bash": (),
    "zsh": (
        ("    (( ! $+commands[hub] )) && return 1\n", ""),
        ("_HUB_COMPLETE=zsh_complete hub)", "_HUB_COMPLETE=zsh_complete ${(Q)~words[1]})"),
    ),
    "fish": (("(commandline -t) hub)", "(commandline -t) (commandline -opc)[1])"),),
}
"""click's scripts ask the `hub` on the PATH; ours ask the one that was typed, as bash's does."""


@click.command(
    epilog=lines(
        "Examples:",
        "source <(hub completion bash)     for this shell alone",
        "hub completion zsh > ~/.zfunc/_hub",
        "hub completion fish > ~/.config/fish/conf.d/hub.fish",
    )
)
@click.argument("shell", type=click.Choice([*_PLACES]))
def completion(*, shell: str) -> None:
    """Print what a shell reads to complete `hub`: commands, options, processes, feeds, keys.

    It begins with how to install it, and serves ./scripts/hub as well as a `hub` on the PATH.
    """
    root = click.get_current_context().find_root().command
    click.echo(script(root, shell, os.environ.get("HUB_PROGRAM", _NAME)), nl=False)


def script(root: click.Command, shell: str, program: str) -> str:
    """The script of a shell for the command `root`, below what there is to say about it; `program`
    is what a person types."""
    text = _CLASSES[shell](root, {}, _NAME, _VARIABLE).source()
    for old, new in _AS_TYPED[shell]:
        text = text.replace(old, new)
    first, rest = text.split("\n", 1) if text.startswith("#compdef") else ("", text)
    place, command = _PLACES[shell], f"{shlex.quote(program)} completion {shell}"
    comment = [
        f"# Lets {shell} complete `hub`, and `./scripts/hub` too. To install it:",
        f"#   mkdir -p {place.rpartition('/')[0]}",
        f"#   {command} > {place}",
        f"# {_MORE[shell]}",
        "# A `hub` that is found everywhere, from a clone:",
        f"#   sudo ln -s {PROGRAM} /usr/local/bin/hub",
    ]
    return "\n".join([*([first] if first else []), *comment, rest.strip(), ""])
