"""Several laptops around one real Sumatra Server, with a bad line to each."""
