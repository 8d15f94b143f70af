"""Thin adapters around frameworks that can run a model: the only room that may import one."""
