"""Helper processes that several actors of one bus on one host share."""
