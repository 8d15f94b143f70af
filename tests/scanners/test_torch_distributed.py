"""Distributed checkpoints: their data files are files of torch.save, one behind the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.distributed_checkpoints import write_checkpoint
from tests.scanned import CLEAN, DANGEROUS, rules_of

from panmodel.model.finding import Scan
from panmodel.scan import scan
from panmodel.wire.pickle import Global, Object

HOSTILE = b"cposix\nsystem\n(S'true'\ntR."


def checkpoint(folder: Path, **values: object) -> Path:
    tensors = {"w": (np.arange(6, dtype=np.float32).reshape(2, 3), [np.s_[0:1, 0:3], np.s_[1:2, 0:3]])}
    return write_checkpoint(folder, tensors, {"epoch": 4, **values})


def data_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.distcp"))


def scanned(folder: Path) -> Scan:
    found = scan(folder)
    assert "PM-SCAN-FAILED" not in rules_of(found)
    return found


def test_every_part_is_looked_at(tmp_path: Path) -> None:
    found = scanned(checkpoint(tmp_path / "a"))
    assert found.verdict is CLEAN and not rules_of(found)
    kinds = {kind for file in found.files if file.path.endswith(".distcp") for kind in file.kinds}
    assert kinds == {"distributed checkpoint"}


def test_what_a_part_would_execute_is_dangerous(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", note=Object(Global("posix", "system"), ("true",)))
    (finding,) = [finding for file in scanned(folder).files for finding in file.findings]
    assert finding.message == "calls posix.system" and finding.member.startswith("part at ")


@pytest.mark.parametrize("where", ["behind", "instead"])
def test_what_is_no_part_is_not_passed_over(tmp_path: Path, where: str) -> None:
    folder = checkpoint(tmp_path / "a")
    for file in data_files(folder):
        data = file.read_bytes()
        file.write_bytes(data + HOSTILE if where == "behind" else HOSTILE + data[len(HOSTILE) :])
    assert scanned(folder).verdict is not CLEAN
    assert where == "behind" or scanned(folder).verdict is DANGEROUS


def test_without_metadata_it_is_what_its_bytes_are(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    (folder / ".metadata").unlink()
    assert scanned(folder).verdict is not CLEAN
