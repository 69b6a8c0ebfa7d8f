"""One run: plan, designs, extraction, cleaned series, matrices, files."""
