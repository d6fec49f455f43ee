"""The questions the product answers; api and web ask only these."""
