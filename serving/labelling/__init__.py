"""Labels around the service: what to label next, ways in and out of the store, and the routes for both."""
