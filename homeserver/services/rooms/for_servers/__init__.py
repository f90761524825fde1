"""What other servers are told of our rooms, and may do in them."""
