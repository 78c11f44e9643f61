"""Bad input made in quantity, and what the project makes of it."""
