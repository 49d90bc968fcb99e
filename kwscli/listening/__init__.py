"""What `kws listen` is made of: where sound comes from, the scores of its windows, and what was said in truth."""
