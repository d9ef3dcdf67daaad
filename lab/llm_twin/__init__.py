"""A local twin of an OpenAI-compatible endpoint: Chat Completions with pictures.

It checks requests as strictly as the real API does, answers from the pictures it is sent, and can
be told to be slow, to fail, to limit the rate, to refuse or to answer rubbish.
"""
