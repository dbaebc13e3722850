"""Responsible use: personal data in a corpus, what a model memorised of it, bias, and the energy of training it."""
