"""Mutants of the pure cores: do their own unit tests notice when the code is changed?"""
