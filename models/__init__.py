"""What must be the same when an index is built and when it is served, and how it is learnt."""
