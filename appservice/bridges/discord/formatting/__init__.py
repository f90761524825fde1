"""Discord's Markdown <-> Matrix HTML. Pure functions; tree.py is what Discord's texts become in between."""

from appservice.bridges.discord.formatting.blocks import named_in, parse
from appservice.bridges.discord.formatting.from_matrix import Known, Written, escaped, write
from appservice.bridges.discord.formatting.split import split
from appservice.bridges.discord.formatting.to_matrix import Names, Rendered, render
from appservice.bridges.discord.formatting.tree import Named, Tree

__all__ = [
    "Known",
    "Named",
    "Names",
    "Rendered",
    "Tree",
    "Written",
    "escaped",
    "named_in",
    "parse",
    "render",
    "split",
    "write",
]
