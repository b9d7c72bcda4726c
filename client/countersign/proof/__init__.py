"""The checks that prove a pulled version and its sign-offs, offline: the one implementation that the registry and its clients share.

Pure: no clock, no network, no disk. What each module needs beside its arguments is `cryptography` alone.
"""
