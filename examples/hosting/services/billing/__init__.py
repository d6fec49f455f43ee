"""The billing service: Flask over SQLAlchemy, called by the control panel only."""
