"""Personal data: what identifies a person is kept here, encrypted, and nowhere else.

Belongs here: keys, encryption, tokens, tombstones, and the vault's own file. Which columns are
personal is said by the sources file (``defs/landing/sources.py``).
"""
