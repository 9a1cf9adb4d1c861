"""Side-by-side measurements of filmstrip and diffusers, and the tables made from them."""
