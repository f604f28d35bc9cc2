"""POP and IMAP hosts tell us by Sun RPC who has logged in, from where (POP-before-SMTP)."""
