"""The page behind the one-time link of a first start: makes the first account, an administrator."""
