"""Lawful use, enforced: the audit chain, accounts, sharing requests, key rotation, the vault, erasure of a person."""
