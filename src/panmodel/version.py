"""The version of panmodel, for receipts and for what it writes into files."""

VERSION = "0.1.0"
