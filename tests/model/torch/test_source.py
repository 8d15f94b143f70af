from __future__ import annotations

import json
from pathlib import Path

from panmodel.io.sink import Sink
from panmodel.model.torch.source import TorchSource, stage_source


def test_source_and_names_are_staged(tmp_path: Path) -> None:
    program = TorchSource("# é\n", "Net", {}, {"inputs": ["x:0"]})
    with Sink(tmp_path / "net.pt") as sink:
        sink.open().write(b"state")
        stage_source(program, sink, "net")
    assert program.dialect == "torch"
    assert (tmp_path / "net.py").read_text("utf-8") == "# é\n"
    assert json.loads((tmp_path / "net.names.json").read_text("utf-8")) == {"class": "Net", "inputs": ["x:0"]}
