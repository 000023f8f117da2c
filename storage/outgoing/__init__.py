"""How a contact with a device comes about: what may be sent, what of it goes to whom, how far each device is."""
