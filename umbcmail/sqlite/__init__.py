"""What SQLite needs in a server: threads that own connections (`worker`), group commit
(`group`), turns of several processes (`turn`), and opening a file (`connection`).

Knows nothing of what is stored; the spool and the state are made with it.
"""
