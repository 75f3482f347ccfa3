"""The regression domains: few-shot regression of functions from several families."""
