"""Several processes that train one network: who they are, how they start, and what they exchange."""
