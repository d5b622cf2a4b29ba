"""Two laptops and a server that are cut off from each other, while people work at each of the three."""
