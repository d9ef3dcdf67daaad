"""The language of a rule's condition: a part of CEL, parsed, checked, compiled and analysed."""
