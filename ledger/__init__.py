"""The truth: tables, state machines, double-entry postings, the transactional store."""
