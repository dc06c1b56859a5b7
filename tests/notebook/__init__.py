"""Notebooks: what is displayed, real kernels, a real JupyterLab."""
