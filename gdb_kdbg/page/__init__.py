"""A dossier as one self-contained HTML page."""
