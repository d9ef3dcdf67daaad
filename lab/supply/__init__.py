"""What the installed environment is made of: parts, licences and known weaknesses."""
