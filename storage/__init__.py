"""Where bytes live: the weight store, device storage, inboxes and the fleet's description."""
