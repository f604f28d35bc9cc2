"""How the system is: metrics and a status page for people and programs."""
