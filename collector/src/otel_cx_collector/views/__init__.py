"""The questions the product answers. Pages, API, reports and exports ask only these; nothing here renders or serves."""
