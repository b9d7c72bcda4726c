"""What each command of the command line does: calls the Python API and says in sentences, or in JSON, what came of it."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from countersign import credentials, kserve
from countersign.errors import Misused, NotReached
from countersign.fetching import Tell
from countersign.memory import FIRST_USE, Seen
from countersign.progress import Bar, size_text
from countersign.proof.pull import VerifiedPull
from countersign.refs import Ref
from countersign.registry import Registry, Requirement
from countersign.verifying import Pulled, verify
from countersign.waiting import await_release
from countersign.watching import Event

NOTHING_WRONG: Final = 0
IN_THE_WAY: Final = 3
STAGE: Final = "COUNTERSIGN_STAGE"


def login(given: Namespace) -> int:
    """Keep a token, pin the registry's key, and say who one is."""
    url = credentials.origin_of(given.url)
    access = credentials.Access(url, credentials.check_token(_token(given)))
    with _registry(given, url, token=access.token) as registry:
        me = registry.whoami()
        seen = registry.seen()
    path = credentials.keep(access)
    told = {"url": url, "account": me["username"], "credentials": str(path), **_seen(seen)}
    lines = [
        f"Logged in to {url} as {me['username']}; the token is kept in {path}, readable by you only.",
        *_pins(seen),
    ]
    return _say(given, told, lines)


def logout(given: Namespace) -> int:
    """Forget a token. What was pinned and seen stays."""
    url = credentials.forget(given.url)
    return _say(
        given, {"url": url}, [f"The token for {url} is forgotten here. Revoke it in the portal to end it everywhere."]
    )


def register(given: Namespace) -> int:
    """Upload a folder as a new version and wait for its admission."""
    fields = {name: getattr(given, name) for name in ("description", "run_id", "source", "code_reference")}
    with _registry(given) as registry, _bar(given, "Sending") as bar:
        version = registry.register(
            given.model, given.folder, **fields, wait_seconds=0.0 if given.no_wait else given.wait, tell=bar
        )
    named = f"{given.model} version {version['number']}"
    lines = [
        f"{named} is {version['state'].replace('_', ' ')}: sha256:{version['digest']}, {size_text(version['size_bytes'])}.",
        f"What it needs before it may go live: countersign why {given.model}/{version['number']}",
    ]
    return _say(given, version, lines)


def pull(given: Namespace) -> int:
    """Have a verified version in a folder."""
    ref = Ref.parse(given.ref, whole=True)
    target = given.to or Path(f"{ref.model}-{ref.alias or ref.version}")
    with _registry(given) as registry, _bar(given, "Pulling") as bar:
        found = registry.pull(
            ref,
            target,
            stage=given.stage,
            purpose=given.purpose,
            require_ledger=given.require_ledger,
            model_sig=given.model_sig,
            workers=given.workers,
            tell=bar,
        )
    return _say(given, found.as_json(), [f"{_named(found)} is in {target}, verified.", *_proof(found)])


def kserve_init(given: Namespace) -> int:
    """Have verified models where KServe's model server will look for them: pairs of a source and a folder."""
    if len(given.pairs) % 2:
        raise Misused("KServe gives pairs: countersign://credit@production /mnt/models.", reason="usage")
    stage = given.stage or os.environ.get(STAGE, "")
    found = [
        kserve.fetch(uri, to, url=given.registry, key=given.key, stage=stage)
        for uri, to in zip(given.pairs[::2], given.pairs[1::2], strict=True)
    ]
    lines = [line for one in found for line in (f"{_named(one)} is in {one.folder}, verified.", *_proof(one))]
    return _say(given, [one.as_json() for one in found], lines)


def check(given: Namespace) -> int:
    """Verify a folder that anybody pulled, offline unless asked to refresh its proof."""
    if given.refresh:
        with _registry(given) as registry:
            found = registry.refresh(given.folder, ref=given.ref)
    else:
        found = verify(given.folder, key=given.key, at=given.at, ref=given.ref)
    return _say(given, found.as_json(), [f"{_named(found)} in {given.folder} is what was signed.", *_proof(found)])


def wait(given: Namespace) -> int:
    """Wait until a version is released for a stage, and prove it; for pipelines."""
    ref = Ref.parse(given.ref, whole=True)
    with _registry(given) as registry:
        found = await_release(registry, ref, stage=given.stage, seconds=given.timeout).verified
    return _show(given, found, "{} is released.")


def watch(given: Namespace) -> int:
    """Say, and do, what happens to references, until told to stop."""
    watched = [Ref.parse(one, whole=True) for one in given.ref]
    refs = [str(one) for one in watched]
    if (given.pull or given.until is not None) and len(refs) != 1:
        raise Misused("--pull and --until are for one reference.", reason="usage")
    with _registry(given) as registry:
        for event in registry.watch(*refs, seconds=given.timeout):
            _tell(given, event)
            if event.kind == "release" and given.pull:
                # Exactly what was announced, also when the alias moves on meanwhile; events are not signed, so of the watched model only.
                ref = Ref(watched[0].model, "", watched[0].version or event.version)
                found = registry.pull(
                    ref, given.pull, stage=event.stage, held_to=watched[0].alias, purpose=given.purpose
                )
                if not given.json:
                    _line(f"{_named(found)} is in {given.pull}, verified.")
            if given.run and event.kind in ("release", "revoked"):
                _run(given.run, event)
            if given.until is not None and event.kind == "release" and event.version == given.until:
                return NOTHING_WRONG
            if given.once and event.kind == "release":
                return NOTHING_WRONG
    awaited = f"version {given.until}" if given.until is not None else "anything"
    raise NotReached(f"{given.timeout:.0f} seconds are over, and {awaited} was not seen.", reason="timeout")


def status(given: Namespace) -> int:
    """How it stands with a registry, or with one version."""
    if given.ref:
        return _status_of(given, Ref.parse(given.ref))
    with _registry(given) as registry:
        me = registry.whoami()
        seen = registry.seen()
    lines = [
        f"{registry.url} answers; the token is of {me['username']} ({', '.join(me['roles']) or 'no role'}).",
        *_pins(seen),
    ]
    return _say(given, {"url": registry.url, "account": me["username"], "roles": me["roles"], **_seen(seen)}, lines)


def why(given: Namespace) -> int:
    """Why a version cannot be promoted to a stage, as sentences; waits until nothing stands in the way where asked to."""
    ref = Ref.parse(given.ref)
    deadline = time.monotonic() + given.wait
    with _registry(given) as registry:
        while True:
            rows = registry.why(ref, stage=given.stage)
            blocking = [one for one in rows if one.blocks]
            if not blocking or time.monotonic() >= deadline:
                break
            time.sleep(min(given.every, max(0.0, deadline - time.monotonic())))
    told = {
        "ref": str(ref),
        "stage": given.stage,
        "blocked": bool(blocking),
        "requirements": [_row(one) for one in rows],
    }
    if not blocking:
        return _say(given, told, [f"Nothing stands between {ref} and {given.stage}: {len(rows)} requirements are met."])
    number = len(blocking)
    lines = [f"{ref} cannot go to {given.stage} yet: {number} requirement{'s are' if number > 1 else ' is'} not met."]
    _say(given, told, [*lines, *(line for one in blocking for line in _requirement(one, registry.url))])
    return IN_THE_WAY


def _status_of(given: Namespace, ref: Ref) -> int:
    with _registry(given) as registry:
        if not ref.alias:
            version = registry.version(ref)
            named = f"{version['model']} version {version['number']}"
            state = version["state"].replace("_", " ")
            why_so = f" {version['status_message']}" if version.get("status_message") else ""
            at = f" Aliases: {', '.join(version['aliases'])}." if version.get("aliases") else ""
            return _say(
                given, version, [f"{named} is {state}.{why_so}{at} (The registry says so; nothing was verified.)"]
            )
        found = registry.resolve(ref, stage=given.stage).verified
    return _show(given, found, f"{ref} is {{}}.")


def _show(given: Namespace, found: VerifiedPull, sentence: str) -> int:
    """Say what was verified of a version that lies in no folder here; `sentence` has a place for its name."""
    size = found.head.tree.size if found.head else None
    shown = Pulled(Path(), found.release, found.alias, found.entry, size)
    told = {name: value for name, value in shown.as_json().items() if name != "folder"}
    return _say(given, told, [sentence.format(_named(shown)), *_proof(shown)])


def _registry(given: Namespace, url: str = "", token: str = "") -> Registry:
    first_use = getattr(given, "trust_on_first_use", False)
    return Registry(
        url or given.registry, token=token, key=getattr(given, "key", "") or "", trust_on_first_use=first_use
    )


def _token(given: Namespace) -> str:
    """The token from a file, from the environment, or typed without showing it."""
    if given.token_file:
        try:
            return sys.stdin.read() if str(given.token_file) == "-" else Path(given.token_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Misused(f"The token cannot be read from {given.token_file}: {error}.", reason="token") from error
    if found := credentials.token_of_environment():
        return found
    if not sys.stdin.isatty():
        raise Misused(
            f"Give the token by --token-file FILE (or - for standard input), or set {credentials.TOKEN}.",
            reason="token",
        )
    return getpass.getpass("Token (cs_…): ")


@contextmanager
def _bar(given: Namespace, what: str) -> Iterator[Any]:
    """What gives a progress bar its total, and shows it until the end; silent in JSON and away from a terminal."""
    shown: list[Bar] = []

    def begin(total: int) -> Tell:
        shown.append(Bar(what, total, quiet=given.json))
        return shown[-1]

    try:
        yield begin
    finally:
        for bar in shown:
            bar.close()


def _say(given: Namespace, told: Any, lines: Sequence[str]) -> int:
    if given.json:
        _line(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            _line(line)
    return NOTHING_WRONG


def _line(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the answer of a command


def _tell(given: Namespace, event: Event) -> None:
    if given.json:
        _line(json.dumps(event.as_json(), ensure_ascii=False))
        return
    at = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    version = f"{event.model} version {event.version}" if event.version is not None else event.ref
    if event.kind == "release":
        _line(f"{at}  {event.ref}: {version} is released for {event.stage}, sha256:{event.digest}")
    elif event.kind == "revoked":
        _line(f"{at}  {event.ref}: {version} may not be used any more. {event.why}")


def _run(command: str, event: Event) -> None:
    """Run the person's own command with the event in its environment; its failure is told and ends nothing."""
    said = {f"COUNTERSIGN_{name.upper()}": str(value) for name, value in event.as_json().items()}
    keep = {name: value for name, value in os.environ.items() if name != credentials.TOKEN}
    ended = subprocess.run(command, shell=True, env=keep | said, check=False)  # noqa: S602 - the person's own command line
    if ended.returncode:
        print(f"The command ended with {ended.returncode}.", file=sys.stderr)  # noqa: T201 - for the person who gave it


def _named(found: Pulled) -> str:
    release = found.release
    return f"{release.model} version {release.version} for {release.stage} (sha256:{release.digest[:12]}…)"


def _proof(found: Pulled) -> list[str]:
    release, status = found.release, found.release.status
    lines = [
        f"  Signed by {one.reviewer} as {one.slot}, {one.signed_at}, confirmed by {one.method}."
        for one in release.sign_offs
    ]
    if release.basis != "review":
        lines.append(f"  It went live by {release.basis.replace('_', ' ')}, without a review of its own.")
    lines.append(f"  May be used until {release.pulls_until.isoformat()}, as far as it is not revoked.")
    lines.append(
        f"  Not revoked as of {status.issued_at.isoformat()} (snapshot {status.counter}, good until {status.expires_at.isoformat()})."
    )
    if found.entry is not None:
        lines.append(f"  Its promotion is entry {found.entry:,} of the registry's ledger.")
    elif found.ledger_size is not None:
        lines.append("  Its promotion is not in the signed ledger yet.")
    else:
        lines.append("  Nothing was checked about the ledger: no key of it is pinned.")
    return lines


def _pins(seen: Seen) -> list[str]:
    if seen.keys is None:
        return [
            "No key of the registry is pinned, so nothing can be pulled yet: give --key registry.pub, or --trust-on-first-use."
        ]
    how = (
        "as it was shown at the first use: compare it with the one on a certificate"
        if seen.pinned == FIRST_USE
        else "as given"
    )
    log = (
        "with the keys of its ledger"
        if seen.keys.log
        else "without a key of its ledger, so that nothing of it is checked"
    )
    return [f"The registry's key {seen.keys.id} is pinned, {how}, {log}."]


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "key": seen.keys.id if seen.keys else None,
        "pinned": seen.pinned or None,
        "log_keys": seen.keys.lines if seen.keys else [],
        "counter": seen.counter,
        "ledger_size": seen.head.tree.size if seen.head else None,
    }


def _row(one: Requirement) -> dict[str, Any]:
    return asdict(one) | {"blocks": one.blocks}


def _requirement(one: Requirement, origin: str) -> list[str]:
    values = [f"{name} {value}" for name, value in (("measured", one.measured), ("required", one.required)) if value]
    shown = f" ({', '.join(values)})" if values else ""
    lines = [f"- {one.title}{shown}: {one.explanation}"]
    if one.cleared_by:
        lines.append(f"    Cleared by: {one.cleared_by}")
    if one.link:
        lines.append(f"    {one.link if '://' in one.link else origin + one.link}")
    return lines
