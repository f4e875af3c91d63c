"""Looks at a node that start no Erlang VM; what is made of the answers belongs to `verify`, `status` and `checks`."""
