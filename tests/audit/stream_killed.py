"""Sends to a SIEM and dies at a named point: `python -m tests.audit.stream_killed POINT TIMES URL`; `fill` comes before.

`taken`: the receiver has answered for a batch, nothing is committed; `committed`: the position has moved; `looked`: the batch
was read, nothing is sent. The point `none` is never reached: all that waits is sent.
"""

from __future__ import annotations

import sys

import django


def main(word: str, times: int, url: str) -> None:
    """Fill a ledger of 700 entries, or send it on until the point has been reached so many times."""
    django.setup()
    from audit import keys
    from audit.actions import append_alone
    from audit.events import Action, Actor, Obj
    from audit.sequencer import Sequencer, initialise
    from audit.streaming import streamer
    from audit.streaming.http import HttpDestination
    from audit.streaming.streamer import Streamer
    from tests.audit.crash_points import Point, after

    if word == "fill":
        initialise()
        for _ in range(700):
            append_alone(Action.MODEL_UPDATE, by=Actor("person", "a1", "session"), obj=Obj("model", "7"))
        sequencer = Sequencer(keys.load_log_key())
        sequencer.start()
        sequencer.tick()
        return
    point = Point(word, times)
    after(streamer, "following", point, "looked")
    after(HttpDestination, "deliver", point, "taken")
    after(streamer, "_delivered", point, "committed")
    streams = Streamer([HttpDestination("siem", url)])
    while streams.send_due():
        continue


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
