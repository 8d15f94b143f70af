"""Native code: ELF, PE, Mach-O and WebAssembly, on its own or inside of a package such as .pt2.

Source: the magic numbers of the ELF, PE/COFF, Mach-O and WebAssembly specifications
"""

from __future__ import annotations

from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Scanner, Subject

NATIVE = Rule(
    "PM-NATIVE-CODE",
    Level.DANGEROUS,
    "Compiled code, which runs with all rights of the process that loads it.",
    "Load it only if you trust who compiled it; ask for the exported program without compiled code.",
)
_MAGIC = {
    b"\x7fELF": "an ELF program or library",
    b"\xfe\xed\xfa\xce": "a Mach-O program or library",
    b"\xfe\xed\xfa\xcf": "a Mach-O program or library",
    b"\xce\xfa\xed\xfe": "a Mach-O program or library",
    b"\xcf\xfa\xed\xfe": "a Mach-O program or library",
    b"\xca\xfe\xba\xbe": "a Mach-O library for several processors, or a Java class",
    b"\0asm": "a WebAssembly module",
}


def _kind(subject: Subject) -> str | None:
    head = subject.head(64)
    if head[:2] == b"MZ" and len(head) == 64:
        at = int.from_bytes(head[60:64], "little")
        if at + 4 <= subject.source.size and subject.source.read(at, 4) == b"PE\0\0":
            return "a Windows program or library"
    return _MAGIC.get(head[:4])


def recognises(subject: Subject) -> bool:
    """Whether it begins with the magic number of a program."""
    return _kind(subject) is not None


def scan(subject: Subject) -> None:
    """Report it for what it is."""
    subject.report(NATIVE, f"is {_kind(subject)}")


SCANNER = Scanner("native code", recognises, scan, (NATIVE,))
