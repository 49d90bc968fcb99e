"""`kws words`: synthesised recordings of new words, with the recordings of people where there are some -> a network."""
