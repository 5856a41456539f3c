"""Renderers: any result dataclass to text or JSON. They know errors and units, and no command."""
