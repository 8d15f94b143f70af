import json

from tests.scanned import CLEAN, DANGEROUS, rules_of, scan_bytes

from panmodel.wire.protobuf import Message, encode, repeated, single


class Described(Message):
    node_id: int = single(2, "int32")
    node_path: str = single(3, "string")
    identifier: str = single(4, "string")
    metadata: str = single(5, "string")


class Metadata(Message):
    nodes: list[Described] = repeated(1, lambda: Described)


def described(name):
    said = json.dumps({"class_name": name, "config": {"name": "x"}})
    nodes = [Described(node_id=1, node_path="root.x", identifier="_tf_keras_layer", metadata=said)]
    return b"".join(bytes(piece) for piece in encode(Metadata(nodes=nodes)))


def test_layers_are_looked_at(tmp_path):
    assert scan_bytes(tmp_path, described("Dense"), "keras_metadata.pb").verdict is CLEAN
    found = scan_bytes(tmp_path, described("Lambda"), "keras_metadata.pb")
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-KERAS-LAMBDA"})


def test_fingerprints_are_clean(tmp_path):
    data = b"".join(bytes([number << 3 | 1]) + bytes(range(8)) for number in range(1, 6))
    assert scan_bytes(tmp_path, data).verdict is CLEAN
