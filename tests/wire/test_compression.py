"""Files that real packers made are told by their first bytes, and the command that is named unpacks them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import panmodel as pm
from panmodel.errors import UnknownFormatError
from panmodel.wire.compression import packing_of

CONTENT = b"\x80\x02}X\x01\x00\x00\x00aK\x01s." * 40
PACKED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (gzip.compress, ".gz"),
    "bzip2": (bz2.compress, ".bz2"),
    "xz": (lzma.compress, ".xz"),
    "lzma": (partial(lzma.compress, format=lzma.FORMAT_ALONE), ".lzma"),
    "zlib": (zlib.compress, ".z"),
}
BEGINNINGS = {
    "Zstandard": b"\x28\xb5\x2f\xfd\x24\x00",
    "LZ4": b"\x04\x22\x4d\x18\x64\x40",
    "7-Zip": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "RAR": b"Rar!\x1a\x07\x01\x00",
}


@pytest.mark.parametrize("name", PACKED)
def test_the_command_unpacks_what_was_packed(tmp_path: Path, name: str) -> None:
    pack, suffix = PACKED[name]
    packing = packing_of(pack(CONTENT)[:64])
    assert packing is not None and packing.name == name
    if shutil.which(packing.unpack.split()[0]) is None:
        pytest.skip(f"{packing.unpack.split()[0]} is not installed")
    for path, unpacked in (("my model.pt" + suffix, "my model.pt"), ("a.pkl", "a.unpacked.pkl")):
        (tmp_path / path).write_bytes(pack(CONTENT))
        command = packing.command(tmp_path / path)
        subprocess.run(command, shell=True, check=True, timeout=60, env={**os.environ, "PATH": search_path()})
        assert (tmp_path / unpacked).read_bytes() == CONTENT


def search_path() -> str:
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


@pytest.mark.parametrize("name", [*PACKED, *BEGINNINGS])
def test_reading_says_what_it_is_and_how_to_unpack_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(PACKED[name][0](CONTENT) if name in PACKED else BEGINNINGS[name] + bytes(100))
    with pytest.raises(UnknownFormatError, match=f"is packed with {name}, .*") as raised:
        pm.read(path)
    assert "model.pt" in str(raised.value.hint)


@pytest.mark.parametrize(
    "head", [b"", b"\x1f", b"\x78\x9c" + b"\xff" * 62, b"BZh9", b"PK\x03\x04", CONTENT[:64], b"\x5d\0\0"]
)
def test_other_files_are_not_packed(head: bytes) -> None:
    assert packing_of(head) is None
