"""The command line: which commands there are, what they take, and with which codes they end. Every error is a sentence."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from countersign import commands
from countersign.errors import CountersignError, Refused
from countersign.fetching import WORKERS
from countersign.registry import ADMISSION_SECONDS
from countersign.version import VERSION

STOPPED: Final = 130
DAY: Final = 86_400.0
EXIT_CODES: Final = """exit codes:
  0    done; for `why`: nothing stands in the way
  1    what was delivered is not what was signed, or may not be used now: tampering, rollback, freeze, revoked, expired
  2    the command, a file or a setting is wrong
  3    the registry refuses: not approved, not permitted, not there; for `why`: something stands in the way; for `wait`: rejected
  4    the registry was not reached, or the time given was over: try again
  5    this machine cannot take it: no space, no permission, a folder in the way
  130  stopped by hand

environment:
  COUNTERSIGN_URL, COUNTERSIGN_TOKEN   the registry and the token; they count before what `login` kept
  COUNTERSIGN_KEY                      the file of the registry's public key
  COUNTERSIGN_ALLOW_HTTP=1             plain http to another machine, where the network itself is protected
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    given = _parser().parse_args(arguments)
    run: Callable[[Namespace], int] = given.run_command
    try:
        return run(given)
    except CountersignError as error:
        return _told(error, as_json=given.json)
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:  # whoever read our answer has gone; say nothing more, not even when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STOPPED


def _told(error: CountersignError, *, as_json: bool) -> int:
    """Say what went wrong; the exit code."""
    if as_json:
        print(json.dumps(error.as_json(), indent=2, ensure_ascii=False))  # noqa: T201 - the answer
        return error.exit_code
    lines = [str(error)]
    if isinstance(error, Refused):
        lines += [f"- {one.get('title')}: {one.get('explanation')}" for one in error.unmet]
        lines += [error.link] if error.link and error.link not in str(error) else []
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 - for the person at the terminal
    return error.exit_code


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="countersign",
        description="Pull models that were signed off, and check offline who signed them.",
        epilog=EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"countersign-client {VERSION}")
    add = parser.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser

    one = _command(add, "login", commands.login, "keep a token for a registry, and pin the registry's key")
    one.add_argument("url", metavar="URL", help="the registry's address: https://host")
    one.add_argument(
        "--token-file", help="read the token from this file (- for standard input) instead of asking for it"
    )
    _key_options(one)

    one = _command(add, "logout", commands.logout, "forget a token; pinned keys stay")
    one.add_argument("url", nargs="?", default="", metavar="URL")

    one = _command(
        add, "register", commands.register, "upload a folder as a new version, and wait until it is admitted"
    )
    one.add_argument("model", metavar="MODEL")
    one.add_argument("folder", metavar="FOLDER", type=Path)
    one.add_argument("--description", default="")
    one.add_argument("--run-id", default="", help="the training run that it came from")
    one.add_argument("--source", default="", help="where it came from")
    one.add_argument("--code-reference", default="", help="the commit of its code")
    one.add_argument(
        "--wait",
        type=float,
        default=ADMISSION_SECONDS,
        metavar="SECONDS",
        help="how long to wait (default: %(default)s)",
    )
    one.add_argument("--no-wait", action="store_true", help="do not wait for the scan")
    _registry_option(one)

    one = _command(add, "pull", commands.pull, "have a version that was signed off in a folder, verified")
    one.add_argument("ref", metavar="REF", help="credit@production or credit/3")
    one.add_argument("to", nargs="?", type=Path, metavar="FOLDER", help="default: a folder named after the reference")
    one.add_argument("--stage", default="", help="ask for an approval for this stage")
    one.add_argument("--purpose", default="", help="what it is pulled for; kept in the registry's ledger")
    one.add_argument(
        "--require-ledger", action="store_true", help="refuse a promotion that the ledger has not signed yet"
    )
    one.add_argument(
        "--model-sig", action="store_true", help="also keep .countersign/model.sig, for the OpenSSF model-signing tool"
    )
    one.add_argument("--workers", type=int, default=WORKERS, metavar="N", help="files at a time (default: %(default)s)")
    _registry_option(one)
    _key_options(one)

    one = _command(add, "kserve-init", commands.kserve_init, "the entry point of a storage container for KServe")
    one.add_argument(
        "pairs",
        nargs="+",
        metavar="SRC DEST",
        help="countersign://credit@production /mnt/models; several of them one after the other",
    )
    one.add_argument("--stage", default="", help="ask for an approval for this stage (or set COUNTERSIGN_STAGE)")
    one.add_argument("--key", default="", metavar="FILE", help="the registry's public key (and the ledger's)")
    _registry_option(one)

    one = _command(add, "verify", commands.check, "check a folder that anybody pulled, offline")
    one.add_argument("folder", metavar="FOLDER", type=Path)
    one.add_argument("ref", nargs="?", metavar="REF", help="what the folder has to hold: credit@production or credit/3")
    one.add_argument("--key", default="", metavar="FILE", help="the registry's public key; default: the pinned one")
    one.add_argument(
        "--at",
        type=_moment,
        metavar="TIME",
        help="judge by this moment, for a folder that was kept (2026-11-23T14:00:00Z)",
    )
    one.add_argument(
        "--refresh", action="store_true", help="ask the registry for a new proof first, and keep it in the folder"
    )
    _registry_option(one)

    one = _command(add, "wait", commands.wait, "wait until a version is signed off and promoted")
    one.add_argument("ref", metavar="REF", help="credit/3")
    one.add_argument("--stage", default="production", help="default: %(default)s")
    one.add_argument(
        "--timeout", type=float, default=DAY, metavar="SECONDS", help="end with code 4 after so long (default: a day)"
    )
    _registry_option(one)
    _key_options(one)

    one = _command(add, "watch", commands.watch, "learn of promotions and revocations at once")
    one.add_argument("ref", nargs="+", metavar="REF")
    one.add_argument("--pull", type=Path, metavar="FOLDER", help="keep the released version in this folder, verified")
    one.add_argument("--purpose", default="", help="what it is pulled for; kept in the registry's ledger")
    one.add_argument(
        "--run",
        default="",
        metavar="COMMAND",
        help="run this at each release and revocation; COUNTERSIGN_KIND, _VERSION … say which",
    )
    one.add_argument("--until", type=int, metavar="VERSION", help="end when this version is released")
    one.add_argument("--once", action="store_true", help="end after the first release")
    one.add_argument("--timeout", type=float, metavar="SECONDS", help="end with code 4 after so long")
    _registry_option(one)
    _key_options(one)

    one = _command(add, "status", commands.status, "how it stands with the registry, or with one version")
    one.add_argument("ref", nargs="?", default="", metavar="REF")
    one.add_argument("--stage", default="")
    _registry_option(one)
    _key_options(one)

    one = _command(add, "why", commands.why, "why a version cannot be promoted: what is missing, and who can clear it")
    one.add_argument("ref", metavar="REF", help="credit/3, credit@alias, or credit for its newest version")
    one.add_argument("--stage", default="production", help="default: %(default)s")
    one.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long until nothing stands in the way"
    )
    one.add_argument(
        "--every", type=float, default=15.0, metavar="SECONDS", help="how often to look (default: %(default)s)"
    )
    _registry_option(one)
    return parser


def _command(add: Any, name: str, run: Callable[[Namespace], int], told: str) -> ArgumentParser:
    parser: ArgumentParser = add(name, help=told, description=told.capitalize() + ".")
    parser.set_defaults(run_command=run)
    parser.add_argument("--json", action="store_true", help="answer in JSON, errors too")
    return parser


def _registry_option(parser: ArgumentParser) -> None:
    parser.add_argument("--registry", default="", metavar="URL", help="default: COUNTERSIGN_URL, or the last login")


def _key_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--key", default="", metavar="FILE", help="the registry's public key (and the ledger's), to be pinned"
    )
    parser.add_argument(
        "--trust-on-first-use",
        action="store_true",
        help="pin the keys that the registry shows now, where none are pinned",
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError as error:
        raise ArgumentTypeError(f"“{text}” is no moment; write 2026-11-23T14:00:00Z") from error
    if moment.tzinfo is None:
        raise ArgumentTypeError(f"“{text}” does not say its time zone; write 2026-11-23T14:00:00Z")
    return moment
