"""The HTTP door: it parses requests into contracts, calls one function of `shared`, and renders the answer."""
