"""What other servers tell of their users beside events: who types, who has read what, who is there."""
