"""The documentation as a site: `make docs` writes it to build/site; no network is needed."""

project = "caspy"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "caspy"
html_copy_source = False
html_show_sphinx = False
exclude_patterns = ["build"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# README.md is what a folder shows where the pages are read without a site.
root_doc = "index"
suppress_warnings = ["myst.xref_missing"]
