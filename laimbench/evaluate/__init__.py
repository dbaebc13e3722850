"""What a trained checkpoint is worth on held-out data: every family's figures with intervals, and strong baselines beside them.

``laimbench.evaluate.run.evaluate`` does it all; ``language_model`` gives a GPT checkpoint to the probes of
``laimbench.responsible``; ``section`` needs no torch.
"""
