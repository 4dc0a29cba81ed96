"""Several hosts: agents there, and the channels by which the launcher talks with them."""
