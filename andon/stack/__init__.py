"""The local stack: its servers side by side, and what they need before the first part."""
