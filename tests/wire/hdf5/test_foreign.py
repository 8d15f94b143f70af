import struct

from tests.wire.hdf5.handmade import (
    INT16,
    Builder,
    contiguous,
    dataset,
    external_link,
    hard_link,
    header,
    message,
    read,
    soft_link,
    space,
)

from panmodel.wire.hdf5 import Foreign, foreign, walk

GROUP = message(0x0A, b"\0\0")


def strange_file():
    build = Builder()
    pipeline = message(0x0B, bytes([2, 1]) + struct.pack("<HHHH", 40000, 8, 0, 0) + b"strange\0")
    chunks = bytes([3, 2, 2]) + struct.pack("<QII", 48, 5, 2)
    filtered = build.add(dataset(INT16, space(5), chunks, pipeline))
    names = build.add(bytes(8) + b"outside\0")
    heap = build.add(b"HEAP" + struct.pack("<B3xQQQ", 0, 16, 1, names))
    files = message(0x07, struct.pack("<BxxxHHQ", 1, 1, 1, heap) + struct.pack("<QQQ", 8, 0, 10))
    external = build.add(dataset(INT16, space(5), contiguous(48, 10), files))
    inner = build.add(header(GROUP, external_link(b"link", b"/etc/passwd", b"/x"), hard_link(b"again", external)))
    return build.finish(
        build.add(
            header(
                GROUP,
                hard_link(b"filtered", filtered),
                hard_link(b"group", inner),
                hard_link(b"same", inner),
                soft_link(b"soft", b"/filtered"),
            )
        )
    )


def test_everything_is_listed_and_nothing_opened():
    assert foreign(read(strange_file())) == [
        Foreign("third-party filter", "/filtered", "strange (40000)"),
        Foreign("external link", "/group/link", "/etc/passwd"),
        Foreign("external storage", "/group/again", "outside"),
        Foreign("external link", "/same/link", "/etc/passwd"),
    ]


def test_a_group_is_entered_once():
    assert [path for path, _ in walk(read(strange_file()))] == ["/filtered", "/group", "/group/again", "/same"]
