"""How good a network is: on clips, in comparison with others, and against noise."""
