"""Scanners, found by directory: each knows one kind of file and what in it could execute or reach outside."""
