"""What all bridges share, and what knows of no network: portals, ghosts, order, the message map, the commands.

`network.py` is the contract with the networks.
"""
