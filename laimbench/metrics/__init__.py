"""What predictions are worth: classification, sequences, language, their intervals, and baselines to beat. NumPy only, no torch.

Import from the file that does it: ``laimbench.metrics.classification``, ``sequences``, ``language``, ``bootstrap``, ``ngram``,
``baselines``. ``docs/metrics.md`` has the definitions.
"""
