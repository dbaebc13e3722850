"""From a store to the answer: faster, learning the same, worth how much; as numbers, a sentence and a page."""

from laimbench.report.answer import Answer, answer
from laimbench.report.page import render_page, write_page

__all__ = ["Answer", "answer", "render_page", "write_page"]
