"""The pages of the server, for its users with their rights."""
