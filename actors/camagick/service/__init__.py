"""Clients and servers of networks, and helper processes that several actors of a bus share."""
