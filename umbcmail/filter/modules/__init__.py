"""The modules that umbcmail brings along: what the multiplexer has messages examined by."""
