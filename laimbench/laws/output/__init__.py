"""What a fit is shown as: pictures (matplotlib), Markdown, and one offline HTML page."""
