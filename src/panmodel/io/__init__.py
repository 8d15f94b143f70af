"""Bytes in and out: bounded positional reads (`source`) and writes that happen whole or not at all (`sink`)."""
