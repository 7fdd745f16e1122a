"""The endpoint: answers for every use case that has a champion, and follows the ledger."""
