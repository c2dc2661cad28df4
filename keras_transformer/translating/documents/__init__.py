"""Documents: a module for each format, which knows no models, and what translates them."""
