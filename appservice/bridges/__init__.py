"""Bridges to other networks. Each runs in a process of its own: `hearth bridge NAME`."""
