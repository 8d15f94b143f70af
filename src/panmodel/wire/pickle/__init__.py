"""Pickles as data: a machine that runs their opcodes and executes nothing, and a writer of plain values."""

from panmodel.wire.pickle.machine import Machine
from panmodel.wire.pickle.records import ByteString, Constructor, Dictionary, Global, Object, describe, stored_bytes
from panmodel.wire.pickle.references import GETATTR, PARTIAL, is_reference
from panmodel.wire.pickle.window import Window
from panmodel.wire.pickle.writer import PersistentId, dump

__all__ = [
    "GETATTR",
    "PARTIAL",
    "ByteString",
    "Constructor",
    "Dictionary",
    "Global",
    "Machine",
    "Object",
    "PersistentId",
    "Window",
    "describe",
    "dump",
    "is_reference",
    "stored_bytes",
]
