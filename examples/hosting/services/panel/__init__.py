"""The control panel: FastAPI, the company's edge; everything a customer's browser does goes through it."""
