"""Container codecs: protobuf, SSTable, zip, pickle, checksums. They know bytes and limits, and no model."""
