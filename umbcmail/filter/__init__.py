"""The whole message is looked at, by filters that speak the milter protocol."""
