"""Record stores: one contract (`base`), one module or package for each kind."""
