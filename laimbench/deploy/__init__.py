"""A trained checkpoint in use: text, classes, translations and transcripts out of it, and a server."""

from laimbench.deploy.classify import Classifier
from laimbench.deploy.text import Generator
from laimbench.deploy.transcribe import Transcriber
from laimbench.deploy.translate import Translator

__all__ = ["Classifier", "Generator", "Transcriber", "Translator"]
