"""Who may use smtd's own server, and what each of them may do: users, passwords, tokens, rights."""
