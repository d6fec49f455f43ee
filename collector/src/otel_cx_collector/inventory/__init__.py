"""The file that governs every other stage: model, loader with line numbers, explanation."""
