"""One analysis a module, each with its ``SPEC``: it joins by being there."""
