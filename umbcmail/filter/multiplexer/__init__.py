"""The role C{filter}: the filter's side of the milter protocol, and what is asked there."""
